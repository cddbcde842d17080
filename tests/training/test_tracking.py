"""Reports to MLflow and TensorBoard, read back with their own readers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from training_samples import Heard, examples, policy, recipe, tiny

from workbench.errors import BadInput, Refused, Unavailable
from workbench.recipe import StudentRecipe, Tracking
from workbench.training import tracking
from workbench.training.record import Lineage
from workbench.training.tracking import check_tracking, flat_params, metric_name, tracked

LINEAGE = Lineage(golden="teas v1", soft_run="run-1", parents=("a-1", "b-2"), code_revision="abc123")


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's client with the settings of a job, batches without a pause."""
    module = pytest.importorskip("mlflow", reason="needs the tracking extra")
    for name, value in tracking._CLIENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tracking, "EVERY_S", 0.05)
    return module


@pytest.fixture
def tensorboard() -> Any:
    """TensorBoard's reader of event files."""
    pytest.importorskip("torch", reason="needs the train extra")
    return pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the tracking extra"
    )


def with_tracking(backbone: Path | str = "minilm", **fields: Any) -> StudentRecipe:
    return recipe(backbone, tracking=fields, description="x" * 600)


def report(heard: Heard, where: StudentRecipe, artifacts: Path, rows: list[dict[str, Any]]) -> None:
    with tracked(heard, where, policy(), LINEAGE, artifacts, job="job-1") as reporter:
        for row in rows:
            reporter.metric(row)


def history(mlflow: Any, uri: str, key: str) -> list[tuple[int, float]]:
    """(step, value) of a metric in the one run that there is, sorted."""
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("tea-match").experiment_id])
    return sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, key))


def scalars(tensorboard: Any, folder: Path, key: str) -> list[tuple[int, float]]:
    found = tensorboard.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return [(event.step, round(event.value, 6)) for event in found.Scalars(key)]


ROWS: list[dict[str, Any]] = [
    {"epoch": 0, "eval_loss": 9.0},
    {"step": 1, "epoch": 1, "loss": 3.0, "loss_soft": None, "@click.auc": 0.5},
    {"step": 2, "epoch": 1, "loss": 2.0, "note": "text"},
    {"epoch": 1, "eval_loss": 2.5, "taste.kappa": None},
]


def test_a_run_in_mlflow_has_params_numbers_and_lineage(mlflow: Any, tmp_path: Path) -> None:
    uri = f"file:{tmp_path / 'mlruns'}"
    heard = Heard()
    report(heard, with_tracking(mlflow=uri), tmp_path / "artifacts", ROWS)
    assert heard.rows == ROWS
    assert heard.lines == []
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("tea-match").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "tea-mini job-1"
    assert run.data.params["schedule.batch_size"] == "4"
    assert run.data.params["heads"] == '["policy"]'
    assert run.data.params["description"] == "x" * 499 + "…"
    assert "init_from" not in run.data.params  # not set
    assert run.data.tags["workbench.parents"] == "a-1, b-2"
    assert run.data.tags["workbench.policy"] == policy().label
    assert run.data.tags["workbench.job"] == "job-1"
    assert run.data.tags["workbench.artifacts"] == str(tmp_path / "artifacts")
    assert run.data.tags["mlflow.source.git.commit"] == "abc123"
    assert "workbench.dataset" not in run.data.tags
    # Evaluations stand at the last step before them; None and text are left out; the epoch stands at its steps only.
    assert set(run.data.metrics) == {"epoch", "loss", "eval_loss", "_click.auc"}
    assert history(mlflow, uri, "loss") == [(1, 3.0), (2, 2.0)]
    assert history(mlflow, uri, "eval_loss") == [(0, 9.0), (2, 2.5)]
    assert history(mlflow, uri, "epoch") == [(1, 1.0), (2, 1.0)]


def test_the_recipe_names_the_experiment(mlflow: Any, tmp_path: Path) -> None:
    uri = f"file:{tmp_path / 'mlruns'}"
    report(Heard(), with_tracking(mlflow=uri, experiment="Teas, 2nd try"), tmp_path, ROWS)
    assert mlflow.MlflowClient(uri).get_experiment_by_name("Teas, 2nd try") is not None


def test_a_failed_training_goes_on_in_the_same_run_without_double_rows(mlflow: Any, tmp_path: Path) -> None:
    uri = f"file:{tmp_path / 'mlruns'}"
    where, artifacts = with_tracking(mlflow=uri), tmp_path / "artifacts"

    def fails() -> None:
        with tracked(Heard(), where, policy(), LINEAGE, artifacts, job="job-1") as reporter:
            for row in ROWS:
                reporter.metric(row)
            reporter.metric({"step": 3, "epoch": 2, "loss": 1.5})
            raise KeyError("killed")

    with pytest.raises(KeyError):
        fails()
    client = mlflow.MlflowClient(uri)
    run_id = json.loads((artifacts / "tracking.json").read_text())["run_id"]
    assert client.get_run(run_id).info.status == "FAILED"
    # It goes on from the state after step 2, so that step 3 comes again.
    report(Heard(), where, artifacts, [
        {"step": 3, "epoch": 2, "loss": 1.5}, {"step": 4, "epoch": 2, "loss": 1.0}, {"epoch": 2, "eval_loss": 2.0},
    ])  # fmt: skip
    assert history(mlflow, uri, "loss") == [(1, 3.0), (2, 2.0), (3, 1.5), (4, 1.0)]
    assert history(mlflow, uri, "eval_loss") == [(0, 9.0), (2, 2.5), (4, 2.0)]
    assert client.get_run(run_id).info.status == "FINISHED"


def test_event_files_hold_each_step_once_also_after_a_kill(tensorboard: Any, tmp_path: Path) -> None:
    where = with_tracking(tensorboard=True)
    report(Heard(), where, tmp_path, [*ROWS, {"step": 3, "epoch": 2, "loss": 1.75}])
    time.sleep(1.1)  # event files are ordered by the second in their names
    report(
        Heard(), where, tmp_path, [{"step": 3, "epoch": 2, "loss": 1.5}, {"step": 4, "epoch": 2, "loss": 1.0}]
    )
    folder = tmp_path / "tensorboard"
    assert scalars(tensorboard, folder, "loss") == [(1, 3.0), (2, 2.0), (3, 1.5), (4, 1.0)]
    assert scalars(tensorboard, folder, "eval_loss") == [(0, 9.0), (2, 2.5)]
    found = tensorboard.EventAccumulator(str(folder))
    found.Reload()
    assert set(found.Tags()["tensors"]) == {"recipe/text_summary", "lineage/text_summary"}


def test_what_a_training_reports_is_what_it_wrote_also_when_stopped_and_resumed(
    mlflow: Any, tensorboard: Any, tmp_path: Path
) -> None:
    from workbench.training.fit import fit

    uri = f"file:{tmp_path / 'mlruns'}"
    backbone = tiny(tmp_path / "backbone")
    where = recipe(
        backbone,
        tracking={"mlflow": uri, "tensorboard": True},
        schedule={"head_penalty": None},
        data={"validation": 0.3},
    )
    artifacts = tmp_path / "artifacts"
    rows = []
    for stop_at in (3, None):
        heard = Heard(stop_at=stop_at)
        with tracked(heard, where, policy(), LINEAGE, artifacts, job="job-1") as reporter:
            fit(where, policy(), examples(), artifacts, reporter, lineage=LINEAGE, resume=True)
        rows += heard.rows
        client = mlflow.MlflowClient(uri)
        (run,) = client.search_runs([client.get_experiment_by_name("tea-match").experiment_id])
        assert run.info.status == ("KILLED" if stop_at else "FINISHED")
        time.sleep(1.1)  # event files are ordered by the second in their names
    losses = [(row["step"], row["loss"]) for row in rows if "step" in row]
    assert len(losses) > 3
    assert history(mlflow, uri, "loss") == losses
    seen = scalars(tensorboard, artifacts / "tensorboard", "loss")
    assert seen == [(step, pytest.approx(loss, abs=1e-5)) for step, loss in losses]
    assert len(history(mlflow, uri, "eval_loss")) == sum("eval_loss" in row for row in rows) == 2
    record = json.loads((artifacts / "checkpoint" / "checkpoint.json").read_text())
    assert run.data.tags["workbench.checkpoint"].endswith(record["weights_hash"].removeprefix("sha256-")[:8])


def test_a_server_that_is_not_there_is_told_once_and_rows_are_counted(mlflow: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
        heard = Heard()
        with tracked(heard, with_tracking(mlflow=uri), policy(), LINEAGE, tmp_path, job="job-1") as reporter:
            for row in ROWS:
                reporter.metric(row)
            until(lambda: heard.lines)
            reporter.metric({"step": 3, "loss": 1.0})
    assert len(heard.rows) == 5  # the training never noticed
    told, counted = heard.lines
    assert told.startswith(f"MLflow at {uri} takes no rows (")
    assert told.endswith("training goes on, and they are sent when it does.")
    assert counted == f"5 rows were not sent to MLflow at {uri}."
    assert not (tmp_path / "tracking.json").exists()


class Server(BaseHTTPRequestHandler):
    """As much of MLflow's REST interface as a run takes; ``refuse`` batches fail first."""

    refuse = 0
    calls: list[tuple[str, dict[str, Any]]]

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: dict[str, Any]) -> None:
        verb = self.path.partition("/mlflow/")[2].partition("?")[0]
        status, answer = 200, dict[str, Any]()
        if verb == "experiments/get-by-name":
            status, answer = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
        elif verb == "experiments/create":
            answer = {"experiment_id": "7"}
        elif verb == "runs/create":
            answer = {"run": {"info": {"run_id": "r1", "run_uuid": "r1", "experiment_id": "7"}, "data": {}}}
        elif verb == "runs/log-batch" and body.get("metrics") and type(self).refuse:
            type(self).refuse -= 1
            status, answer = 400, {"error_code": "BAD_REQUEST", "message": "not now"}
        if status == 200:
            type(self).calls.append((verb, body))
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    """Its address, and what keeps its calls."""
    kind = type("Served", (Server,), {"calls": []})
    served = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}", kind
    served.shutdown()
    thread.join()
    served.server_close()


def test_over_http_rows_that_were_refused_are_sent_later_in_one_batch(
    mlflow: Any, server: tuple[str, type[Server]], tmp_path: Path
) -> None:
    uri, kept = server
    kept.refuse = 1
    heard = Heard()
    with tracked(heard, with_tracking(mlflow=uri), policy(), LINEAGE, tmp_path, job="job-1") as reporter:
        for row in ROWS:
            reporter.metric(row)
        until(lambda: heard.lines)
    assert len(heard.lines) == 1
    assert "not now" in heard.lines[0]
    batches = [
        body["metrics"] for verb, body in kept.calls if verb == "runs/log-batch" and body.get("metrics")
    ]
    assert [len(batch) for batch in batches] == [7]  # 1 + 3 + 2 + 1 numbers of the four rows
    assert [body["status"] for verb, body in kept.calls if verb == "runs/update"] == ["FINISHED"]
    assert sum(verb == "runs/create" for verb, _ in kept.calls) == 1


def test_rows_beyond_what_is_kept_are_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_KEPT", 3)
    waiting = tracking._Waiting()
    rows = [tracking.Row(step, 0, {"loss": 0.0}) for step in range(5)]
    for row in rows[:3]:
        waiting.add(row)
    on_the_way = waiting.first()
    waiting.add(rows[3])  # gives up row 0, which is on its way
    assert waiting.lost == 1
    waiting.sent(on_the_way)  # and arrives
    assert (waiting.rows, waiting.lost) == ([rows[3]], 0)


def test_without_tracking_or_as_another_rank_the_reporter_stays(tmp_path: Path) -> None:
    heard = Heard()
    with tracked(heard, recipe("minilm"), policy(), LINEAGE, tmp_path, job="job-1") as reporter:
        assert reporter is heard
    where = with_tracking(mlflow="http://127.0.0.1:9", tensorboard=True)
    with tracked(heard, where, policy(), LINEAGE, tmp_path, job="job-1", first=False) as reporter:
        assert reporter is heard
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_said_before_the_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    check_tracking(None)
    with pytest.raises(Unavailable) as told:
        check_tracking(Tracking(mlflow="http://host:5000", tensorboard=True))
    assert "needs mlflow and tensorboard, not installed" in str(told.value)
    assert "pip install 'policy-workbench[tracking]'" in told.value.hint
    with (
        pytest.raises(Unavailable, match="needs tensorboard, not installed"),
        tracked(Heard(), with_tracking(tensorboard=True), policy(), LINEAGE, tmp_path, job="job-1"),
    ):
        pytest.fail("the training began")


def test_an_address_that_cannot_be_one_and_a_password_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: name)
    for uri in ("mlruns", "sqlite:///x.db", "host:5000"):
        with pytest.raises(BadInput, match=f"tracking.mlflow is '{uri}'"):
            check_tracking(Tracking(mlflow=uri))
    with pytest.raises(Refused) as told:
        check_tracking(Tracking(mlflow="https://me:hidden@host"))
    assert "hidden" not in str(told.value)
    for uri in ("http://host:5000", "https://host/x", "file:/shared/mlruns"):
        check_tracking(Tracking(mlflow=uri))


def test_names_and_params_are_what_mlflow_takes() -> None:
    assert metric_name("@click.auc") == "_click.auc"
    assert metric_name("taste.kappa") == "taste.kappa"
    params = flat_params(recipe("minilm", tracking={"tensorboard": True}))
    assert params["tracking.tensorboard"] == "true"
    assert params["schedule.learning_rate"] == "0.001"
    assert params["teachers"] == "[]"
    assert not [name for name in params if metric_name(name) != name]


def until(true: Any) -> None:
    """Wait until something holds."""
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not come true in a minute")
