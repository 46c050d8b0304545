"""What is wrong with this machine and this checkout, and which command cures it?

`examine` reads the checkout (`place`), asks servers and the keyring within a time limit (`answers`), and runs the table
of checks (`checks`) on what is known then.
"""
