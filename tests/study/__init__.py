"""The study file: what it may say, one report of everything wrong with it, and nothing else whatever it holds."""
