"""What runs beside a workload, as a process of its own: standard library only, and nothing of the hub.

`engine.py` starts it with this directory's parent on the path (`import shim.main`), so imports in here are relative.
"""
