"""A mixture of experts with a sparse gate a task, in a training loop of your own."""

import torch
from torch import nn

from labelwise.experts import MLPExperts, MultiTaskMixture
from labelwise.gates import DSelectK, LinearRamp

torch.manual_seed(0)
inputs = torch.randn(2000, 10)
weights = torch.randn(10, 3)
targets = {f"task {i}": torch.sin(inputs @ weights[:, i]) for i in range(3)}

steps = 400
ramp = LinearRamp(0.05, steps // 3)  # the pull towards a sparse choice grows over the first third of training
model = MultiTaskMixture(
    MLPExperts(8, in_features=10, hidden=32, out_features=16),
    gates={task: DSelectK(n_experts=8, k=2, entropy=ramp) for task in targets},
    heads={task: nn.Linear(16, 1) for task in targets},
)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for step in range(steps):
    rows = torch.randint(len(inputs), (256,))
    said = model(inputs[rows])
    errors = [nn.functional.mse_loss(said.outputs[task].squeeze(1), targets[task][rows]) for task in targets]
    loss = sum(errors) + said.penalty
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step}: loss {loss.item():.3f}")
    if step in (9, steps - 1):  # soon, since later one cannot see that a gate died, and at the end
        for task, gate in model.gates.items():
            print(f"gate of {task}:", *gate.health() or ["in good health"])

chosen = model.selected()
print(chosen.to_string(index=False))
assert chosen.groupby("task").size().max() <= 2

small = model.eval().prune()  # without the experts that no task uses
print(len(small.experts), "of 8 experts are left")
torch.testing.assert_close(small(inputs).outputs, model(inputs).outputs)
