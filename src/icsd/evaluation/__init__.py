"""Evaluation of networks on a split: confusion, similarity, agreement with the teacher."""
