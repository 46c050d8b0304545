"""Which code repository does the user mean?"""
