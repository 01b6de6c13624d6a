"""What there is: files with labels and windows, from csv files, folders, tars, official splits."""
