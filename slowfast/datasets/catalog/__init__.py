"""The datasets, one small file each, and what their readers share."""
