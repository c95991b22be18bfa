"""Find wrong labels in a pandas DataFrame, and look at the worst."""

from sklearn.datasets import load_iris

import labelwise

irises = load_iris(as_frame=True)
table = irises.data.assign(species=irises.target_names[irises.target])
table.loc[3, "species"] = "virginica"  # two labels made wrong, to be found again
table.loc[140, "species"] = "setosa"

found = labelwise.audit(labelwise.read(table, labels="species"), folds=5, quiet=True)

print(found.findings.head()[["example", "given", "suggested", "score", "why"]].to_string())
print("everything else is in", found.run)
assert {3, 140} <= set(found.findings["example"])
