"""The examination of a machine: does everything that worldbench needs work here, and how fast?"""
