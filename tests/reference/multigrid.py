"""The multigrid schedule step by step, from arXiv 1912.00998 and the facts of PySlowFast's code.

A list of plain loops: (B, T, S) of every stage, its last epoch, and the learning rate of an epoch.
"""


def stages_of(frames, side, steps, max_epoch, long_factors, short_factors, epoch_factor):
    """[[step, B, T, S, end], ...]; B is relative to the batch size of the configuration."""
    base, mean_batches = [], []
    for t_factor, s_factor in long_factors:
        t, s = round(frames * t_factor), round(side * s_factor)
        sides = [side * factor for factor in short_factors] + [s]
        batches = [round(float(frames * side**2) / (t * one * one)) for one in sides]
        base.append((batches[-1], t, s))
        mean_batches.append(sum(batches) / len(batches))
    rows, iterations = [], 0.0
    for step in range(len(steps) - 1):
        for shape, mean in zip(base, mean_batches, strict=True):
            epochs = (steps[step + 1] - steps[step]) * mean / sum(mean_batches)
            iterations += epochs / mean
            rows.append([step, *shape, epochs])
    saving = steps[-1] / iterations  # of iterations, against training without multigrid
    rows.append([len(steps) - 1, *base[-1], (max_epoch - steps[-1]) / saving * mean_batches[-1]])
    factor = max_epoch * epoch_factor / sum(row[-1] for row in rows)
    done = 0.0
    for row in rows:
        done += row[-1] * factor
        row[-1] = round(done)
    return rows


def lr_of(rows, gamma, base_lr, epoch, warmup_epochs, warmup_start):
    """Learning rate: linear in the batch, gamma per step; half of the last stage comes late."""

    def after_warmup(at):
        previous = 0
        for number, (step, batch, _, _, end) in enumerate(rows):
            if number == len(rows) - 1 and at < (previous + end) // 2:
                step, batch = rows[number - 1][:2]
            if at < end:
                break
            previous = end
        return base_lr * gamma**step * batch

    if epoch < warmup_epochs:
        share = epoch / warmup_epochs
        return warmup_start + share * (after_warmup(warmup_epochs) - warmup_start)
    return after_warmup(epoch)


def batch_sizes(batch, side, full_side, short_factors):
    """Batches of a short cycle: ever larger crops, the last one that of the stage."""
    return [
        *(batch * round((side / (factor * full_side)) ** 2) for factor in short_factors),
        batch,
    ]


def evaluates(rows, epoch, freq):
    """Whether the model is evaluated after an epoch (from 0): ``freq`` times or so per stage."""
    begin = 0
    for row in rows:
        if epoch < row[-1]:
            every = max((row[-1] - begin) // freq + 1, 1)
            return (row[-1] - 1 - epoch) % every == 0
        begin = row[-1]
    raise AssertionError("past the end")
