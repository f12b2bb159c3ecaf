"""Picking an object by its reference: what is asked of an arm, and the phases of a pick."""
