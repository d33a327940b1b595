"""The engines that ours is compared with: same protocol, same weights."""
