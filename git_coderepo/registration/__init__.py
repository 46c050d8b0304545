"""Which code repository does a checkout use?"""
