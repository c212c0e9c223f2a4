"""Proves that a study lost nothing, or says what is wrong.

`whole` reads everything a study's folder holds and changes nothing. Every check is a function of what was read: the rows of the
ledger (`ledger`), their trials (`trials`), the decisions of the search (`decisions`), the checkpoints (`checkpoints`)
and the derived tables (`derived`). `repair` repairs what can be repaired.
"""
