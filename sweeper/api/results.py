"""The results of a stored study: tables, figures, the report, and what trains more of it."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack

from sweeper import catalog, owncode
from sweeper.api import running
from sweeper.api.shown import Lines, Page, png
from sweeper.errors import InputError, NoDataError, UnknownNameError, unknown
from sweeper.service.stored import RESULTS, find_study, folder_of_studies, results_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy
    from sweeper.ledger.ledger import StudyFolder
    from sweeper.owncode import Code
    from sweeper.search.details import Repetition
    from sweeper.search.study import Search
    from sweeper.storage import Place, Where


def open_results(study: Where, *, results: Where = RESULTS, code: str | Path | Code | None = None) -> StudyResults:
    """A stored study, as `sweeper.open`.

    Args:
        study: Its folder, also ``s3://BUCKET/PREFIX/STUDY``; or its name.
        results: Where a study of this name is looked for.
        code: The folder of own code that it was run with, where more of it is to be trained.

    Raises:
        InputError: There is none.
        LedgerError: It is damaged.

    >>> import sweeper
    >>> sweeper.open("results/made")
    Study 'made' in results/made, finished: 6 completed; best vit-00001 with val_accuracy 0.4400
    """
    from sweeper.storage import place

    read = code if code is None or isinstance(code, owncode.Code) else owncode.read(code)
    return StudyResults(find_study(place(results), str(study)), read)


class StudyResults:
    """What is stored of a study. Every question is answered from what is stored at that moment, also while it runs elsewhere.

    In a notebook it shows itself as a table of its arms.
    """

    def __init__(self, files: StudyFolder, code: Code | None = None):
        self._files, self._code = files, code
        self._opened: OpenedStudy | None = None

    # ------------------------------------------------------------------------------------------------------------ what it is

    def _now(self) -> OpenedStudy:
        """The study as it is stored now; read again only if anything has changed."""
        from sweeper.driver.opened import open_study

        if self._opened is None or self._files.part_names() != self._opened.parts:
            self._opened = open_study(self._files)
        return self._opened

    def _data(self, *, with_predictions: bool = False) -> Results:
        return results_of(self._now(), with_predictions=with_predictions)

    @property
    def name(self) -> str:
        """Name of the study."""
        return self._now().first.name

    @property
    def folder(self) -> Place:
        """Where it lies."""
        return self._files.folder

    def status(self) -> dict[str, Any]:
        """Where it stands, as facts: trials by status, arms, the best trial, time; as ``sweeper status --json``."""
        from sweeper.service.facts import status_of
        from sweeper.service.words import plain_data

        found: dict[str, Any] = plain_data(status_of(self._now()))
        return found

    def __repr__(self) -> str:
        facts = self.status()
        counts = ", ".join(f"{count} {status}" for status, count in facts["trials"].items() if count) or "no trials yet"
        state = "running" if facts["is_running"] else "finished" if facts["is_finished"] else "not finished"
        best, column = facts["best"], facts["objective"].split()[1]
        told = f"; best {best['trial']} with {column} {best[column]:.4f}" if best else ""
        return f"Study '{facts['study']}' in {facts['folder']}, {state}: {counts}{told}"

    def _repr_html_(self) -> str:
        from sweeper.analysis.summary import arms_table

        data = self._data()
        table = arms_table(data).to_html(index=False, na_rep="", border=0) if len(data.trials) else ""
        return f"<p>{html.escape(repr(self))}</p>{table}"

    # ---------------------------------------------------------------------------------------------------------------- tables

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial, of the search and of repetitions; ``configuration`` is JSON."""
        return self._data().trials

    @property
    def epochs(self) -> pd.DataFrame:
        """One row per trial and epoch."""
        return self._data().epochs

    @property
    def seeds(self) -> pd.DataFrame:
        """One row per configuration that was trained on several seeds, best mean first: mean, 95 % interval, cost.

        Of the confirmation where there is one, else of `ablate`; empty where there is neither.

        >>> import sweeper
        >>> sweeper.open("results/made").seeds[["parent", "n", "mean"]].round(2)
              parent  n  mean
        0  vit-00001  3  0.62
        1  cnn-00002  3  0.52
        """
        from sweeper.analysis.verdicts import confirmed
        from sweeper.ledger.records import Stage

        data = self._data()
        is_confirmed = (data.trials["stage"] == Stage.CONFIRM).any()
        return confirmed(data, stage=Stage.CONFIRM if is_confirmed else Stage.ABLATION)

    def pareto(self, x: str = "parameters", y: str = "val_accuracy") -> pd.DataFrame:
        """The completed trials that no other beats in both columns, cheapest first.

        Args:
            x: What a choice costs: a column of the trials.
            y: What it is worth: another one.

        Raises:
            UnknownNameError: No such column.
            NoDataError: No trial has both values.

        >>> import sweeper
        >>> sweeper.open("results/made").pareto(x="train_s")[["trial", "val_accuracy", "train_s"]]
               trial  val_accuracy  train_s
        0  vit-00001          0.44     80.0
        """
        from sweeper.analysis.pareto import front_table

        return front_table(self._data(), x=x, y=y)

    def best(self, arm: str | None = None) -> pd.Series[Any]:
        """The best completed trial of the search, or of one arm of it: its row, the configuration as a dictionary.

        It was chosen for its score, which so is too high by some luck; `seeds` says how good it is.

        Raises:
            UnknownNameError: No such arm.
            NoDataError: It has no completed trial.

        >>> import sweeper
        >>> best = sweeper.open("results/made").best("cnn")
        >>> best["trial"], best["configuration"]["num_blocks"]
        ('cnn-00002', 3)
        """
        from sweeper.analysis.results import at_stage, ranked

        arms = self._now().spec.arms
        if arm is not None and arm not in arms:
            raise UnknownNameError("arm", arm, arms)
        rows = ranked(at_stage(self._data(), "search"))
        rows = rows if arm is None else rows[rows["arm"] == arm]
        if rows.empty:
            raise NoDataError(f"{f'arm {arm!r}' if arm else 'no arm'} of study '{self.name}' has a completed trial yet.")
        row = rows.iloc[0].copy()
        row["configuration"] = json.loads(row["configuration"])
        return row.rename(row["trial"])

    # --------------------------------------------------------------------------------------------------- figures and answers

    def plot(self, name: str, **options: Any) -> Figure:
        """A figure, which a notebook shows where it is the value of a cell.

        Args:
            name: Which: ``pareto``, ``learning_curves``, ``seed_strip`` and so on, see ``sweeper list plot``.
            **options: Arguments of the plot, for example ``x="macs"`` of ``pareto``.

        Raises:
            UnknownNameError: No such plot.
            InputError: It has no such option.
            NoDataError: The study does not have the data, or not yet.

        >>> import sweeper
        >>> figure = sweeper.open("results/made").plot("pareto", x="train_s")
        >>> figure.savefig("pareto.pdf")
        """
        with catalog.using(self._code):
            taken = catalog.parameters("plot", name)
            if wrong := [option for option in options if option not in taken]:
                raise InputError(unknown(f"option of {name}", wrong[0], taken))
            figure: Figure = catalog.load("plot", name)(self._data(with_predictions=True), **options)
        # Matplotlib shows its own figures in a notebook only once pyplot was imported there.
        figure._repr_png_ = lambda: png(figure)  # type: ignore[attr-defined]
        return figure

    def report(self, out: Where | None = None) -> Page:
        """Write the report: which architecture to choose, why, and how surely; a notebook shows the page.

        Args:
            out: Where to write; None for ``report/`` in the study's folder.

        Raises:
            ResultsFolderError: It cannot be written there.

        >>> import sweeper
        >>> sweeper.open("results/made").report().path.name
        'report.html'
        """
        from sweeper.report.parts import plain
        from sweeper.service.reporting import written
        from sweeper.storage import place

        told, facts, files = written(self._now(), None if out is None else place(out))
        answer = " ".join(plain(sentence) for sentence in told.answer)
        return Page(files[0], tuple(files), answer, tuple(plain(caveat) for caveat in told.caveats), facts)

    def recommend(self, **limits: float) -> Lines:
        """What to choose, how surely, and what to do next, in three lines.

        Args:
            **limits: Only what needs at most so much, for example ``parameters=1e6`` or ``latency_ms=5``.

        Raises:
            UnknownNameError: A column that cannot be limited.
            NoDataError: Nothing can be chosen.

        >>> import sweeper
        >>> sweeper.open("results/made").recommend(parameters=2000).splitlines()[-1]
        'Train it again: sweeper retrain made vit-00001'
        """
        from sweeper.report.parts import plain
        from sweeper.report.recommend import recommend

        return Lines("\n".join(plain(line) for line in recommend(self._data(), limits).lines))

    def model(
        self,
        which: str = "best",
        path: str | Path | None = None,
        *,
        kind: Literal["keras", "savedmodel", "onnx", "litert"] | None = None,
        replace: bool = False,
    ) -> Any:
        """The trained model, raw images in and probabilities out, as ``sweeper model`` writes it.

        It is checked against what is recorded of the trial, in this process, with Keras. Whoever loads the file needs nothing of
        this program.

        Args:
            which: ``best`` for what `recommend` chooses, an arm, or a trial.
            path: Where to write it, with the names of its classes and a card beside it; None to get the Keras model itself.
            kind: ``keras``, ``savedmodel``, ``onnx`` or ``litert``; None for what ``path`` ends in: .keras, .onnx or .tflite.
            replace: Whether older files of these names may be replaced.

        Returns:
            A `sweeper.models.exporting.Exported` that says where it is and what it gives; without a path the `keras.Model`.

        Raises:
            InputError: There is no such model, its weights were not kept, or the file cannot be written so.
            SweeperError: The model does not give what is recorded.
        """
        import tempfile
        from pathlib import Path

        from sweeper.models.writing import write_model

        with catalog.using(self._code):
            if path is not None:
                return write_model(self._now(), self._data(), which, Path(path), kind=kind, force=replace)
            with tempfile.TemporaryDirectory(prefix="sweeper-model-") as folder:
                file = Path(folder, "model.keras")
                write_model(self._now(), self._data(), which, file)
                import keras

                return keras.models.load_model(file)

    # ------------------------------------------------------------------------------------------------------- what trains more

    def confirm(
        self,
        seeds: int | None = None,
        *,
        per_arm: int | None = None,
        allocation: Literal["equal", "racing"] | None = None,
        **options: Unpack[running.Options],
    ) -> pd.DataFrame:
        """Train the best of each arm again on fresh seeds, test them once, time them; as ``sweeper confirm``.

        Args:
            seeds: Seeds for each; None for what the study says, or 5.
            per_arm: Best configurations of each arm; None for what the study says, or 1.
            allocation: ``racing`` leaves out after two seeds what cannot win any more.
            **options: As for `sweeper.Study.run`.

        Returns:
            `seeds`.

        Raises:
            InputError: The search has not ended, or no trial was completed.
        """
        from sweeper.service import repeating
        from sweeper.study.spec import ConfirmSpec

        opened = self._now()
        asked = opened.first.confirm or ConfirmSpec()
        given = {"per_arm": per_arm, "seeds": seeds, "allocation": allocation}
        asked = ConfirmSpec(**{**asked.model_dump(), **{key: value for key, value in given.items() if value is not None}})
        with catalog.using(self._code):
            plan = repeating.confirmations(opened, asked)
            if self._repeat(opened, plan, options):
                is_quiet = options.get("quiet", False)
                repeating.timed(self._now(), lambda line: running.say(line, is_quiet))
        return self.seeds

    def ablate(
        self, trials: str | Sequence[str] = "best", *, seeds: int = 3, vary: str = "training", **options: Unpack[running.Options]
    ) -> pd.DataFrame:
        """Train trials again with the seeds 1 to N, the same for every arm, as ``sweeper ablate``: how much is the seed?

        Args:
            trials: Trials of the study, ``best`` of each arm, or the ``defaults`` of each arm.
            seeds: Seeds for each.
            vary: What the seeds set: ``training``, ``init``, ``order``, ``augmentation``, ``split`` or ``all``.
            **options: As for `sweeper.Study.run`.

        Returns:
            One row per configuration: mean, standard deviation and interval over seeds; with ``vary``, one per source of chance.

        Raises:
            InputError: The search has not ended, or there is no such trial.
        """
        from sweeper.analysis.seeds import seeds_table
        from sweeper.analysis.sources import sources_of_variance
        from sweeper.search import repetition
        from sweeper.service import repeating

        opened = self._now()
        repeating.check_at_rest(opened)
        repetition.check_searched(opened.search)
        named = [trials] if isinstance(trials, str) else list(trials)
        asked = [one for name in named for one in (repeating.best_of_arms(self._data()) if name == "best" else [name])]
        varies = None if vary == "training" else vary
        with catalog.using(self._code):
            self._repeat(opened, lambda search: repetition.plan(search, asked, seeds, varies), options)
        return seeds_table(self._data()) if varies is None else sources_of_variance(self._data())

    def _repeat(self, opened: OpenedStudy, plan: Callable[[Search], list[Repetition]], options: running.Options) -> bool:
        """Run what a plan asks for; whether that came to its end."""
        from sweeper.service import repeating

        planned = plan(opened.search)
        if not planned and opened.search.is_finished:
            return True
        slots = repeating.slots_of(
            opened.first.shapes,
            cluster=options.get("cluster", "local"),
            max_concurrent=options.get("max_concurrent"),
            num_cpus=options.get("num_cpus"),
        )
        opening = repeating.announcement(results_of(opened), planned, num_known=len(opened.search.planned), slots=slots)
        folder = folder_of_studies(opened)
        return running.drive(opened.first, folder, self._code, options, opened=opened, opening=opening, repeat=plan)
