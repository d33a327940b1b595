"""The engines that ours is compared with, behind the same protocol and on the same weights."""
