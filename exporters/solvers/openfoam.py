"""OpenFOAM: a case of laplacianFoam whose mesh gmshToFoam makes from ``mesh.msh``.

Cell zones ``grain_00001`` and so on, the patch ``outer``, the face zone ``grain_boundary``.
laplacianFoam knows one scalar diffusivity only: the mean over the crystal axes. Mechanics is
not offered. OpenFOAM's own unit of length is the metre.
"""

from __future__ import annotations

from pathlib import Path

from .materials import MARK
from .msh2 import write_msh2
from .solver_input import SolverInput

HEADER = """FoamFile
{{
    version 2.0;
    format ascii;
    class {kind};
    object {name};
}}
"""
FILES = {
    "0/T": (
        "volScalarField",
        """dimensions [0 0 1 0 0 0 0];
internalField uniform 0;
boundaryField
{{
    outer
    {{
        type fixedValue;
        value uniform 0;
    }}
    ".*" // gmshToFoam leaves a patch grain_boundary without faces
    {{
        type zeroGradient;
    }}
}}
""",
    ),
    "constant/transportProperties": (
        "dictionary",
        """// {mark}: mean of the diffusivities along the crystal axes, {length}^2/s
DT [0 2 -1 0 0 0 0] {diffusivity:.12g};
""",
    ),
    "system/controlDict": (
        "dictionary",
        """application laplacianFoam;
startFrom startTime;
startTime 0;
stopAt endTime;
endTime 1;
deltaT 1;
writeControl timeStep;
writeInterval 1;
writePrecision 12;
functions
{{
    integral
    {{
        type volFieldValue;
        libs ("libfieldFunctionObjects.so");
        operation volIntegrate;
        fields (T);
        regionType all;
        writeFields no;
        writePrecision 12;
    }}
}}
""",
    ),
    "system/fvSchemes": (
        "dictionary",
        """ddtSchemes {{ default steadyState; }}
gradSchemes {{ default Gauss linear; }}
divSchemes {{ default none; }}
laplacianSchemes {{ default Gauss linear limited corrected 0.5; }}
interpolationSchemes {{ default linear; }}
snGradSchemes {{ default limited corrected 0.5; }}
""",
    ),
    "system/fvSolution": (
        "dictionary",
        """solvers
{{
    T
    {{
        solver PCG;
        preconditioner DIC;
        tolerance 1e-10;
        relTol 0;
    }}
}}
SIMPLE {{ nNonOrthogonalCorrectors 20; }}
""",
    ),
    "system/fvOptions": (
        "dictionary",
        """// T is the mean time (s) in which a lithium atom reaches the outer surface
source
{{
    type scalarSemiImplicitSource;
    active yes;
    scalarSemiImplicitSourceCoeffs
    {{
        selectionMode all;
        volumeMode specific;
        injectionRateSuSp {{ T (1 0); }}
    }}
}}
""",
    ),
}


def write(content: SolverInput, folder: Path, profile: str) -> None:
    """Write ``mesh.msh`` and the case."""
    write_msh2(content, folder / "mesh.msh")
    diffusivity = content.material.isotropic().diffusivity[0]
    comment = "".join(f"// {line}\n" for line in content.heading())
    for name, (kind, text) in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        body = text.format(mark=MARK, length=content.units.length, diffusivity=diffusivity)
        header = HEADER.format(kind=kind, name=path.name)
        path.write_text(header + comment + body, encoding="ascii")
