"""How figures, captured text, lines and tables look to people and to programs that read lines; nothing here prints.

    numbers   durations, costs, counts, times
    safe      captured text that a terminal shows and does not obey
    lines     pieces with a style, and their width in columns
    table     rows as aligned lines that fit a width, or as tab-separated text

Commands and reports are made of these.
"""
