"""What do `.gitattributes` ask for, and what do they make of a file's bytes?"""
