"""The search: a pure state machine that decides which trial is next and whether a trial goes on.

Nothing here imports Ray or Keras, reads a clock or a global random state. See `sweeper.search.study`.
"""
