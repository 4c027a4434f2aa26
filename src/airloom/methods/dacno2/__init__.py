"""DACNO₂: the network and how a study makes one."""
