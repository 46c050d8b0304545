"""How is a command or a program run?"""
