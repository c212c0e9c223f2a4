from sweeper.api.arms import arm as arm
from sweeper.api.data import arrays as arrays
from sweeper.api.results import StudyResults as StudyResults
from sweeper.api.study import Study as Study
from sweeper.driver.launch import launch as launch
from sweeper.study.space import Choice as Choice
from sweeper.study.space import Float as Float
from sweeper.study.space import Int as Int
from sweeper.study.space import Space as Space
from sweeper.study.spec import StudySpec as StudySpec

__version__: str
