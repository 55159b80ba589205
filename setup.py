"""What pyproject.toml cannot say: the data of the repository's top folder go into the package that is built."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithData(build_py):
    """Builds the package with the data sets that are shipped, in `ensemble_vs_dropout/shipped`."""

    def run(self):
        """Copy them beside the modules; an editable installation finds them where they are."""
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib, "ensemble_vs_dropout", "shipped")
        self.mkpath(str(folder))
        for file in sorted(Path("data").iterdir()):
            self.copy_file(str(file), str(folder / file.name))


setup(cmdclass={"build_py": WithData})
