"""Learn two linked tasks at once, with half of the labels of one of them missing."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

import labelwise

X, digit = load_digits(return_X_y=True)
loops = np.isin(digit, [0, 4, 6, 9]) + 2 * (digit == 8)  # how many closed loops a digit has
y = np.stack([digit, loops], axis=1)

X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=digit)
unlabelled = np.random.default_rng(0).random(len(y_train)) < 0.5
y_train[unlabelled, 0] = -1  # the digit is not known; how many loops it has still teaches the model

model = labelwise.Classifier(method="dselect-k", max_epochs=30).fit(X_train, y_train)
predicted = model.predict(X_test)
for name, truth, guess in zip(("digit", "loops"), y_test.T, predicted.T, strict=True):
    print(f"{name}: accuracy {accuracy_score(truth, guess):.3f}")
    assert accuracy_score(truth, guess) > 0.85

chosen = model.method_.mixture.selected()
print(chosen.to_string(index=False))
assert chosen.groupby("task").size().max() <= 2
