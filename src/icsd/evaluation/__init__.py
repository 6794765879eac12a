"""Networks measured on a split: confusion, similarity, agreement with the teacher."""
