"""Run by test_copy.py with ``python -I``: imports a copied module where only what it declares can be found.

Arguments: the package (a folder here), the module, the distributions that it declares. Prints how its examples went.
"""

import doctest
import importlib
import importlib.metadata
import os
import re
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

package, name, *declared = sys.argv[1:]


def normal(distribution):
    return re.sub(r"[-_.]+", "-", distribution).lower()


allowed, todo = set(), [normal(distribution) for distribution in declared]
while todo:
    distribution = todo.pop()
    if distribution not in allowed:
        allowed.add(distribution)
        try:
            required = importlib.metadata.requires(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        todo += [normal(re.match(r"[\w.-]+", text)[0]) for text in required if "extra ==" not in text]
owners = importlib.metadata.packages_distributions()
importable = {top for top, distributions in owners.items() if allowed & set(map(normal, distributions))}


class Guard(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        top = fullname.split(".")[0]
        tensorrt = "tensorrt-rtx" in allowed and top.startswith("tensorrt")  # either of them will do
        standard = top in sys.stdlib_module_names or top.startswith("_sysconfigdata_")
        if top == package or standard or top in importable or tensorrt:
            return super().find_spec(fullname, path, target)
        return None


sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Guard]
sys.path.insert(0, os.getcwd())
module = importlib.import_module(f"{package}.{name}")
flags = doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS
result = doctest.testmod(module, optionflags=flags)
examples = sum(len(test.examples) for test in doctest.DocTestFinder().find(module))
print(f"examples {examples} failed {result.failed}")
