"""The receptive-field report measures a network whose receptive field is known."""

from pathlib import Path

import pytest
import torch
from helpers.stica_cfg import small_stica
from torch import nn

from slowfast.models.contracts import BackboneOutput

ROOT = Path(__file__).parents[3]


class _Net(nn.Module):
    """One convolution over space: positions see ``side`` by ``side`` pixels of one frame."""

    def __init__(self, side):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, (1, side, side), padding=(0, side // 2, side // 2))

    def forward(self, video):
        return BackboneOutput([self.conv(video)])


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "projects/stica"))
    import report_receptive

    return report_receptive


@pytest.fixture
def cfg(report):
    return small_stica(*(w for k in report.KINDS for w in (f"FEATURE_CROP.{k.upper()}.NUM", 1)))


def test_positions_that_see_one_pixel_see_nothing_outside(report, cfg):
    torch.manual_seed(0)
    found = report.outside_shares(cfg, _Net(1), torch.randn(1, 3, 4, 14, 14), seed=0)
    assert set(found) == set(report.KINDS)
    assert all(shares["energy"] == shares["reach"] == 0.0 for shares in found.values())
    assert found["space_small"]["area"] == pytest.approx(1 - (8 * 8) / (14 * 14))
    assert found["time_small"]["area"] == 0.5


def test_wider_positions_see_a_border_in_space_and_nothing_in_time(report, cfg):
    torch.manual_seed(0)
    found = report.outside_shares(cfg, _Net(3), torch.randn(1, 3, 4, 14, 14), seed=0)
    assert 0 < found["space_small"]["energy"] < 0.5
    # A border of one pixel around 8 by 8, cut off where the crop is at the edge of the frame.
    assert 17 / 132 <= found["space_small"]["reach"] <= 36 / 132
    assert found["time_small"]["energy"] == found["time_large"]["reach"] == 0.0


def test_zeros_and_identities_at_the_start_do_not_hide_what_is_seen(report, cfg):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.time, self.space = nn.Conv3d(3, 3, 3, padding=1), nn.Conv3d(3, 4, 3, padding=1)
            self.norm = nn.BatchNorm3d(4)
            nn.init.dirac_(self.time.weight)
            nn.init.zeros_(self.norm.weight)

        def forward(self, video):
            return BackboneOutput([self.norm(self.space(self.time(video)))])

    video, seen = torch.randn(1, 3, 4, 14, 14), []
    for seed in (0, 1):
        net = Net()
        report.randomize(net, video, seed)
        out = net(video).maps[0]
        torch.testing.assert_close(out.mean(dim=(0, 2, 3, 4)), torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(out.var(dim=(0, 2, 3, 4)), torch.ones(4), atol=1e-2, rtol=0)
        seen.append(report.outside_shares(cfg, net, video, seed=0)["time_small"])
    # Two frames outside, and both are within two of the crop.
    assert [shares["reach"] for shares in seen] == [1.0, 1.0]
    assert seen[0]["energy"] != seen[1]["energy"]


def test_table_and_figure_have_a_row_for_each_backbone_and_kind(report, tmp_path):
    shares = [{"area": 0.5, "energy": e, "reach": 1.0} for e in (0.2, 0.4)]
    results = {"Net": {"size": [4, 14, 14], "crops": dict.fromkeys(report.KINDS, shares)}}
    rows = report.table(results).splitlines()[2:]
    assert len(rows) == len(report.KINDS)
    assert all("| 4 x 14 x 14 |" in row and "| 30.0 % |" in row for row in rows)
    report.plot(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5_000
