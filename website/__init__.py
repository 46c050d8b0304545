"""What makes the documentation: pages generated from the program, executed console blocks, and pictures of a terminal.

make docs                                   build the site into build/docs/site, with warnings as errors
python -m website.console_blocks            execute the console blocks, and fail if an output is no longer true
python -m website.console_blocks --write    write today's outputs into the pages
python -m website.terminal_picture          make the pictures of the README from the program's output
"""
