"""The flow table's bounds and times: what leaves when it is full, when things are said, and what long flows report."""

from __future__ import annotations

from typing import Any

from nsm.model.flow import EndReason, Outcome, Report
from nsm.model.records import Records
from nsm.model.table import Rows
from nsm.track.merge import Merger
from nsm.track.settings import FlowSettings, TrackOptions, WorkerSettings
from nsm.track.tracker import Counters
from nsm.track.worker import Worker
from tests.data.detect.make import OURS, SERVER, connection
from tests.kernels.feeding import batch_of
from tests.kernels.frames import ACK, RST, SYN, Timed, tcp, udp, udp_ip, unreachable


def run(frames: list[Timed], **settings: Any) -> tuple[Records, Counters]:
    """Merged records of a whole run, and the counters of the table."""
    options = settings.pop("options", TrackOptions())
    flow = FlowSettings(**{"records_max": 256, "targets_max": 1_024, **settings})
    worker = Worker(WorkerSettings(flow=flow, options=options, batch_packets=max(16, len(frames))))
    worker.feed(batch_of([frame for _, frame in frames], times=[round(when * 1e9) for when, _ in frames]))
    worker.finish()
    merger = Merger(1)
    merger.add(0, worker.take())
    records = merger.ready()
    assert records is not None
    return records, worker.counters


def of(rows: Rows, report: Report) -> Rows:
    return rows.take(rows["report"] == report)


def test_a_flow_is_said_to_be_unanswered_after_half_a_second() -> None:
    records, _ = run([(0.1, tcp(OURS, SERVER, 1, 80, SYN)), (9.0, udp(OURS, SERVER, 9, 9))])
    opened = of(records.flows, Report.OPENED)
    assert opened["outcome"][0] == Outcome.UNANSWERED
    assert opened["emit_us"][0] == 750_000  # the first quarter of a second that is over by then


def test_an_answer_and_a_refusal_are_said_at_the_next_quarter() -> None:
    records, _ = run([
        (0.1, tcp(OURS, SERVER, 1, 80, SYN)), (0.11, tcp(SERVER, OURS, 80, 1, SYN | ACK)),
        (0.12, tcp(OURS, SERVER, 2, 81, SYN)), (0.13, tcp(SERVER, OURS, 81, 2, RST | ACK)), (9.0, udp(OURS, SERVER, 9, 9)),
    ])  # fmt: skip
    opened = of(records.flows, Report.OPENED)
    assert opened["outcome"].tolist()[:2] == [Outcome.ANSWERED, Outcome.REFUSED]
    assert opened["emit_us"].tolist()[:2] == [250_000, 250_000]


def test_a_late_answer_takes_back_what_was_said() -> None:
    records, _ = run(
        [
            (0.0, tcp(OURS, SERVER, 1, 80, SYN)),
            (2.0, tcp(SERVER, OURS, 80, 1, SYN | ACK)),
            (9.0, udp(OURS, SERVER, 9, 9)),
        ]
    )
    opened = of(records.flows, Report.OPENED)
    assert opened["outcome"].tolist()[:2] == [Outcome.UNANSWERED, Outcome.ANSWERED]
    assert opened["marks"].tolist()[:2] == [0, 4]


def test_a_refusal_by_icmp_belongs_to_the_flow_it_quotes() -> None:
    packet = udp_ip(OURS, SERVER, 9, 99)
    records, counters = run([(0.0, udp(OURS, SERVER, 9, 99)), (0.1, unreachable(SERVER, packet))])
    ended = of(records.flows, Report.ENDED)
    asked = ended.take(ended["proto"] == 17)
    assert (asked["outcome"][0], asked["icmp_reply"][0]) == (Outcome.REFUSED, 3 << 8 | 3)
    assert counters.unreachable == 1


def test_a_long_flow_reports_progress_from_its_own_start() -> None:
    records, _ = run([(1.0 + n * 20, udp(OURS, SERVER, 9, 9, b"x")) for n in range(40)], progress_s=100)
    progress = of(records.flows, Report.PROGRESS)
    assert progress["pkts_s"].tolist() == sorted(progress["pkts_s"].tolist())
    assert [round(us / 1e6) for us in progress["emit_us"].tolist()] == [102, 202, 302, 402, 502, 602, 702]


def test_flows_end_by_silence_reuse_and_the_end_of_the_capture() -> None:
    frames = [*connection(0, OURS, SERVER, 1, 80), *connection(3, OURS, SERVER, 1, 80), (40, udp(OURS, SERVER, 9, 9)),
              (75, udp(OURS, SERVER, 9, 9))]  # fmt: skip
    ended = of(run(frames)[0].flows, Report.ENDED)
    assert sorted(ended["reason"].tolist()) == [
        EndReason.TIMEOUT, EndReason.TIMEOUT, EndReason.SHUTDOWN, EndReason.TCP_REUSE,
    ]  # fmt: skip


def test_when_the_table_is_full_the_oldest_unanswered_flow_is_counted_and_forgotten() -> None:
    talk = list(connection(0, OURS, SERVER, 1, 80))[:4]
    crowd = [(1 + n * 0.001, udp(f"203.0.{n // 250}.{n % 250}", SERVER, 9, 9)) for n in range(1_000)]
    records, counters = run([*talk, *crowd], records_max=64, flood_flows=1_000_000)
    assert counters.live == 64
    assert counters.evicted == 1_001 - 64
    assert counters.untracked == 0
    assert int(records.targets["evicted"].sum()) == counters.evicted
    assert int(records.targets["pkts"].sum()) == 1_000 + 1  # and the SYN of the conversation, before it was answered
    # The conversation was answered, so it has kept its record.
    ended = of(records.flows, Report.ENDED)
    assert ended.take(ended["proto"] == 6)["pkts_s"].tolist() == [3]


def test_when_all_flows_are_answered_new_ones_are_only_counted() -> None:
    talks = [item for n in range(70) for item in connection(0.001 * n, OURS, SERVER, 1_000 + n, 80)]
    _, counters = run(sorted(talks, key=lambda item: item[0]), records_max=64)
    assert counters.live == 64
    assert counters.untracked > 0


def test_targets_beyond_the_bound_are_refused_and_counted() -> None:
    frames = [(0.001 * n, tcp(OURS, SERVER, 1_000, 1 + n, SYN)) for n in range(200)]
    records, counters = run(frames, targets_max=64)
    assert counters.targets_refused > 0
    assert len(records.targets) == 64


def test_one_sided_packets_are_counted_for_their_target_and_tick() -> None:
    frames = [(0.3 + 0.001 * n, tcp(f"203.0.113.{n % 5}", SERVER, 1_000 + n, 80, SYN)) for n in range(100)]
    row = run(frames)[0].targets
    assert len(row) == 1
    assert (row["ts"][0], row["syns"][0], row["flows"][0], row["single"][0]) == (250_000, 100, 100, 0)


def test_shares_of_the_flows_make_the_whole() -> None:
    frames = sorted(
        (item for n in range(60) for item in connection(0.05 * n, OURS, f"203.0.113.{n}", 1_000 + n, 80)),
        key=lambda item: item[0],
    )
    whole = sorted(of(run(frames)[0].flows, Report.ENDED)["flow_id"].tolist())
    shares = [
        of(run(frames, options=TrackOptions(shard=shard, shards=3))[0].flows, Report.ENDED)["flow_id"].tolist()
        for shard in range(3)
    ]
    assert sorted(flow for share in shares for flow in share) == whole
    assert all(len(share) > 5 for share in shares)
