"""The data sets, one small file each, and what their readers share."""
