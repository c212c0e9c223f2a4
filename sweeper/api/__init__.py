"""The program from Python: studies made, run and read in a script or a notebook. `import sweeper` gives all of it."""
