"""The intermediate representation: immutable nodes, the graph they are named in, programs, and scalar expressions."""
