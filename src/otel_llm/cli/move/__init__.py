"""What leaves the store and what comes into it: `export`, `import`, `forward`, `collector`."""
