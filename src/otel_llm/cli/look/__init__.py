"""Looking at what was recorded: `sessions`, `show`, `calls`, `call`, `search`, `tail`."""
