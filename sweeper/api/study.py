"""A study made in Python: the same thing as a study file, and what is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from sweeper import catalog, owncode
from sweeper.api import arms as arms_given
from sweeper.api import running
from sweeper.api.arms import ArmLike
from sweeper.api.results import StudyResults
from sweeper.errors import InputError, ResultsFolderError, StudyFileError
from sweeper.owncode import Code
from sweeper.service.stored import RESULTS
from sweeper.study import own, strict_yaml
from sweeper.study.spec import StudySpec, parse

if TYPE_CHECKING:
    from sweeper.driver.opened import OpenedStudy
    from sweeper.storage import Where


class Study:
    """A study: which arms are compared on which data, and how much is trained.

    Everything is checked at once, as a study file is. `run` trains it and gives its results; a study of this name that exists
    goes on where it was left.

    Args:
        name: Names the study and its folder.
        dataset: A name of the catalog, a mapping with options, or what `sweeper.arrays` gives.
        arms: The contenders by name: ``{}`` for the architecture of that name, a mapping as in a study file, what `sweeper.arm`
            gives, or a function ``build(input_shape, num_classes, ...)``. A list of names stands for architectures as they are.
        trials: Trials over all arms together.
        max_epochs: Epochs of a trial that is not stopped early.
        objectives: What is optimised, for example ``["max val_accuracy", "min parameters"]``.
        constraints: What no network may exceed, for example ``["parameters <= 1e6"]``.
        search: How configurations are proposed, for example ``{"sampler": "random", "seed": 1}``.
        stopping: When a trial is stopped early.
        confirm: What is confirmed on fresh seeds once the search has ended; ``{}`` for five seeds of the best of each arm.
        ablation: A baseline and changes of it, in the place of arms.
        baseline: The arm that others are compared with.
        training: What is the same for every trial, for example ``{"backend": "jax"}``.
        resources: What one trial occupies while it runs.
        code: A folder of your own code. Files for functions and spaces that are given here are added to it.

    Raises:
        StudyFileError: Faults of the study, all at once.
        InputError: A function cannot be written into a file, or own code cannot be read.

    >>> import sweeper
    >>> study = sweeper.Study(
    ...     name="small",
    ...     dataset="digits",
    ...     arms={"cnn": {}, "se": sweeper.arm("resnet", attention="se")},
    ...     trials=4,
    ...     max_epochs=2,
    ... )
    >>> study
    Study 'small' of digits: arms cnn, se; 4 trials of up to 2 epochs
    >>> print(study.to_yaml())  # doctest: +ELLIPSIS
    name: small
    dataset:
      name: digits
    arms:
      cnn: {}
      se:
        architecture: resnet
        fixed:
          attention: se
    budget:
      trials: 4
      max_epochs: 2
    <BLANKLINE>
    """

    def __init__(
        self,
        *,
        name: str,
        dataset: str | Mapping[str, Any],
        arms: Mapping[str, ArmLike] | Sequence[str] | None = None,
        trials: int | None = None,
        max_epochs: int | None = None,
        objectives: Sequence[str] | None = None,
        constraints: Sequence[str] | None = None,
        search: Mapping[str, Any] | None = None,
        stopping: Mapping[str, Any] | None = None,
        confirm: Mapping[str, Any] | None = None,
        ablation: Mapping[str, Any] | None = None,
        baseline: str | None = None,
        training: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        code: str | Path | Code | None = None,
    ):
        read = owncode.read(code) if isinstance(code, str | Path) else code
        section, read = (None, read) if arms is None else arms_given.written(arms, read)
        budget = {"trials": trials, "max_epochs": max_epochs}
        given: dict[str, Any] = {
            "name": name,
            "dataset": {"name": dataset} if isinstance(dataset, str) else dataset,
            "arms": section,
            "ablation": ablation,
            "objectives": objectives,
            "constraints": constraints,
            "budget": {key: value for key, value in budget.items() if value is not None},
            "search": search,
            "stopping": stopping,
            "confirm": confirm,
            "baseline": baseline,
            "training": training,
            "resources": resources,
        }
        said = {key: _plain(value, key) for key, value in given.items() if value is not None}
        self._make(strict_yaml.write(said), read, f"study '{name}'", are_lines_known=False)

    def _make(self, text: str, code: Code | None, called: object, *, are_lines_known: bool) -> None:
        """Take the text of a study file and the code it needs."""
        try:
            with catalog.using(code):
                self._spec = parse(text, called)
        except StudyFileError as error:
            if are_lines_known:
                raise
            # Nobody wrote the lines of this text.
            raise StudyFileError(called, [fault.partition(": ")[2] for fault in error.faults]) from None
        self._text, self._code, self._results = text, code, RESULTS

    @classmethod
    def from_yaml(cls, source: str | Path, *, code: str | Path | Code | None = None) -> Study:
        """The study in a file.

        Args:
            source: The path of a study file, or its text.
            code: The folder of own code that the study needs, which is run as the study runs.

        Raises:
            InputError: The file cannot be read, or it names own code and none is given.
            StudyFileError: Faults of the study, all at once.

        >>> import sweeper
        >>> text = '''
        ... name: small
        ... dataset: {name: digits}
        ... arms: {cnn: {}}
        ... budget: {trials: 4, max_epochs: 2}
        ... '''
        >>> sweeper.Study.from_yaml(text)
        Study 'small' of digits: arm cnn; 4 trials of up to 2 epochs
        """
        from sweeper.study.text import text_of

        is_text = isinstance(source, str) and "\n" in source
        text = str(source) if is_text else text_of(Path(source))
        called = "study" if is_text else source
        read = owncode.read(code) if isinstance(code, str | Path) else code
        named = own.named_in(text)
        if named is not None and read is None:
            folder = own.folder_of(named, "" if is_text else source)
            raise InputError(f"{called} needs the code in {folder}/, which is run only if you say so. Add: code='{folder}/'")
        study = cls.__new__(cls)
        study._make(text, read, called, are_lines_known=True)
        return study

    @property
    def name(self) -> str:
        """Its name."""
        return self._spec.name

    @property
    def spec(self) -> StudySpec:
        """The study as it is checked and stored: every default filled in."""
        return self._spec

    @property
    def code(self) -> Code | None:
        """The own code that it needs, files of functions included; None without."""
        return self._code

    def __repr__(self) -> str:
        names = list(self._spec.arms)
        budget = self._spec.budget
        listed = f"arm{'' if len(names) == 1 else 's'} {', '.join(names)}"
        return (
            f"Study '{self.name}' of {self._spec.dataset.name}: {listed}; {budget.trials:,} trials of up to "
            f"{budget.max_epochs:,} epochs"
        )

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The study as a study file, with what was given and no defaults.

        Args:
            path: Where to write it, unless None. Own code is then written into ``my_code/`` beside it, and named in the file; a
                file that is there already is replaced.

        Returns:
            The text.

        Raises:
            ResultsFolderError: It cannot be written.
        """
        if self._code is None or (path is None and own.named_in(self._text) is None):
            text = self._text
        else:
            data = strict_yaml.read(self._text).data
            text = strict_yaml.write({**data, own.KEY: CODE})
        if path is not None:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_text(text, encoding="utf-8")
                if self._code is not None:
                    self._code.write(Path(path).parent / CODE)
            except OSError as error:
                raise ResultsFolderError(f"{path} cannot be written ({error.strerror}). Give another path.") from None
        return text

    def run(self, results: Where = RESULTS, *, repeat_decayed: bool = False, **options: Unpack[running.Options]) -> StudyResults:
        """Train the study, and confirm it where it says so; one that exists goes on where it was left.

        A study with more trials, epochs or arms than the stored one of its name extends that; nothing else may differ. If another
        process is at work on that, it takes the extension over, and this returns the results so far. An
        interrupt (Ctrl-C, or the stop button of a notebook) ends it with everything saved, and calling it again goes on.

        Args:
            results: Folder of all studies, or ``s3://BUCKET/PREFIX``.
            repeat_decayed: With more epochs: train completed trials whose learning rate decays anew.
            **options: Where and how: ``num_cpus``, ``max_concurrent``, ``cluster`` and so on, see `sweeper.api.running.Options`.

        Returns:
            The results so far.

        Raises:
            InputError: The study cannot run as asked.
            StudyLockedError: Another driver is at work on it.
        """
        from sweeper.service.stored import open_if_stored
        from sweeper.storage import place

        folder = place(results)
        self._results = str(results)
        with catalog.using(self._code):
            opened: OpenedStudy | None = open_if_stored(folder, self.name)
            is_ended = running.drive(
                self._spec,
                folder,
                self._code,
                options,
                opened=opened,
                repeat_decayed=repeat_decayed,
                confirms=self._spec.confirm,
            )
        found = self.results(folder)
        if is_ended and self._spec.confirm is not None:
            found.confirm(**options)
        return found

    def results(self, results: Where | None = None) -> StudyResults:
        """The results so far, also while the study runs elsewhere.

        Args:
            results: Folder of all studies; None for the one that it was last run in, or ``results``.

        Raises:
            InputError: It has not been run.
        """
        from sweeper.service.stored import find_study
        from sweeper.storage import place

        return StudyResults(find_study(place(self._results if results is None else results), self.name), self._code)


CODE = "my_code/"
"""Folder of own code beside a study file that is written."""


def _plain(value: Any, place: str) -> Any:
    """A value as a study file can hold it.

    Raises:
        InputError: It cannot.
    """
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # a number of NumPy
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise InputError(f"{place} is {value!r:.100}; allowed: text, numbers, true or false, lists and mappings of them.")
