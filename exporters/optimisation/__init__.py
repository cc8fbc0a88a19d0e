"""Work on a labelled mesh of tetrahedra until its elements are good, in blocks and threads."""
