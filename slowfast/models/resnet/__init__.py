"""C2D, I3D, Slow, SlowFast, CSN and R(2+1)D-50."""
