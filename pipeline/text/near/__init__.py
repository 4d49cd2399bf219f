"""Documents that are almost the same: found by MinHash signatures cut into bands (MinHash-LSH), one of each cluster kept.

In the order of running: `signatures` makes a few numbers of each document, `pairs` finds the documents whose numbers agree,
`clusters` decides which of them go.

Letters: D documents, P numbers of a signature, B bands, N pairs.
"""
