def check_same(*a): pass
