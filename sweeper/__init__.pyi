from sweeper.api.arms import arm as arm
from sweeper.api.data import arrays as arrays
from sweeper.api.results import StudyResults as StudyResults
from sweeper.api.results import open_results
from sweeper.api.study import Study as Study
from sweeper.datasets._own import from_arrays as from_arrays
from sweeper.driver.launch import launch as launch
from sweeper.search.in_optuna import OptunaSampler as OptunaSampler
from sweeper.study.space import Choice as Choice
from sweeper.study.space import Float as Float
from sweeper.study.space import Int as Int
from sweeper.study.space import Space as Space
from sweeper.study.spec import StudySpec as StudySpec

__version__: str
open = open_results  # noqa: A001
