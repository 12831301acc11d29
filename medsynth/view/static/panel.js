// One volume with its label map: niivue in a canvas.
import { Niivue, SLICE_TYPE } from "./niivue.js";

export const VIEWS = [
  { name: "planes", type: SLICE_TYPE.MULTIPLANAR, key: "0" },
  { name: "axial", type: SLICE_TYPE.AXIAL, key: "1" },
  { name: "coronal", type: SLICE_TYPE.CORONAL, key: "2" },
  { name: "sagittal", type: SLICE_TYPE.SAGITTAL, key: "3" },
  { name: "3D", type: SLICE_TYPE.RENDER, key: "4" },
];
const SMALLEST = 16; // width of a canvas that is drawn into, in pixels
const LINE = 1.6; // of the crosshair, in pixels
const WHOLE = 0.8; // size in 3D at which a volume fits however it is turned: the half diagonal of its box is half a tile
const MOST_VALUES = 200000;
const NORMAL = { axial: [0, 0, 1], coronal: [0, 1, 0], sagittal: [1, 0, 0] };
const OPTIONS = {
  backColor: [0, 0, 0, 1],
  crosshairColor: [0.95, 0.85, 0.3, 0.9],
  crosshairWidthUnit: "mm",
  dragAndDropEnabled: false,
  isForceMouseClickToVoxelCenters: true,
  isRadiologicalConvention: true,
  isSliceMM: true, // slices through the patient, not through the voxels' axes
  loadingText: "",
  logLevel: "error",
  multiplanarLayout: 2, // grid
  multiplanarShowRender: 1, // always
  sagittalNoseLeft: true,
  show3Dcrosshair: true,
  tileMargin: 2,
  clipPlaneHotKey: "",
  cycleClipPlaneHotKey: "",
  viewModeHotKey: "",
};

// Labels as niivue takes them: the background is clear, each value has the colour of the legend.
function labelMap(labels) {
  const all = [{ value: 0, name: "background", colour: [0, 0, 0] }, ...labels];
  return {
    R: all.map((one) => one.colour[0]),
    G: all.map((one) => one.colour[1]),
    B: all.map((one) => one.colour[2]),
    A: all.map((one) => (one.value === 0 ? 0 : 255)),
    I: all.map((one) => one.value),
    labels: all.map((one) => one.name),
  };
}

// The 0.5 and the 99.5 percentile of the values, as in the gallery's pictures; of large volumes, of some of them.
function percentiles(image) {
  const step = Math.max(1, Math.ceil(image.img.length / MOST_VALUES));
  const values = Float64Array.from({ length: Math.floor(image.img.length / step) }, (_, place) => image.img[place * step]).sort();
  const [low, high] = [0.005, 0.995].map((share) => image.intensityRaw2Scaled(values[Math.round(share * (values.length - 1))]));
  return low < high ? [low, high] : [low, low + 1];
}

export class Panel {
  constructor(section, told) {
    this.section = section;
    this.canvas = section.querySelector("canvas");
    this.nv = new Niivue({ ...OPTIONS });
    this.nv.volScaleMultiplier = WHOLE;
    this.nv.onLocationChange = (place) => this.#read(place);
    this.nv.onIntensityChange = () => told.window();
    // niivue has one setting for all layers; values of a label map have nothing between them.
    const filter = this.nv.updateInterpolation.bind(this.nv);
    this.nv.updateInterpolation = (layer, linear = false) => {
      this.nv.opts.isNearestInterpolation = layer > 0 || !this.smoothed;
      filter(layer, linear && layer === 0);
    };
    const draw = this.nv.drawScene.bind(this.nv);
    this.nv.drawScene = () => {
      if (Math.min(this.canvas.clientWidth, this.canvas.width) < SMALLEST) return; // hidden, or not measured yet
      draw();
      if (this.#thin()) draw();
    };
    this.smoothed = true;
    this.entry = null;
    this.turn = 0;
    this.work = null;
    this.canvas.addEventListener("pointerdown", () => this.canvas.focus({ preventScroll: true }));
  }

  get image() { return this.nv.volumes[0]; }
  get label() { return this.nv.volumes[1]; }
  // A picture, or a volume of one slice: its plane; else null.
  get plane() {
    if (!this.image || this.image.dimsRAS[1] > 1 && this.image.dimsRAS[2] > 1 && this.image.dimsRAS[3] > 1) return null;
    return ["sagittal", "coronal", "axial"][this.image.dimsRAS.slice(1, 4).indexOf(1)];
  }

  // Show an entry; where a later call came in between, nothing happens.
  show(entry, channel, opacity, smooth) {
    const turn = ++this.turn;
    const before = this.work ?? this.nv.attachToCanvas(this.canvas);
    this.work = before.catch(() => {}).then(async () => {
      if (turn !== this.turn) return false;
      const images = entry.volumes.filter((one) => one.kind === "image");
      const files = [images[channel] ?? images[0], ...entry.volumes.filter((one) => one.kind === "label").slice(0, 1)];
      this.entry = null;
      this.section.querySelector(".readout").textContent = ""; // of what was here before
      await this.nv.loadVolumes(files.map((file) => ({
        url: new URL(file.url, document.baseURI).href,
        name: `${entry.id} ${file.name}.nii${file.url.endsWith(".gz") ? ".gz" : ""}`,
        colormap: "gray",
        opacity: file.kind === "label" ? opacity : 1,
        cal_min: file.window ? file.window[0] : NaN,
        cal_max: file.window ? file.window[1] : NaN,
      })));
      if (this.label) this.label.setColormapLabel(labelMap(entry.labels));
      this.entry = entry;
      this.file = files[0];
      if (!files[0].window) [this.image.cal_min, this.image.cal_max] = percentiles(this.image);
      this.first = [this.image.cal_min, this.image.cal_max];
      this.smoothed = smooth;
      this.nv.updateGLVolume();
      this.place = this.centre;
      return turn === this.turn;
    });
    return this.work;
  }

  view(name) { this.nv.setSliceType(VIEWS.find((one) => one.name === name).type); }
  opacity(value) { if (this.label) this.nv.setOpacity(1, value); }
  smooth(on) {
    this.smoothed = on;
    this.nv.setInterpolation(!on);
  }
  // Where the middle voxel has its centre, in mm; where the crosshair is, in mm.
  get centre() {
    const middle = this.image.dimsRAS.slice(1, 4).map((side) => Math.floor(side / 2));
    return this.nv.frac2mm(this.nv.vox2frac(middle), 0, true);
  }
  get place() { return this.nv.frac2mm(this.nv.scene.crosshairPos, 0, true); }
  set place(mm) {
    this.nv.scene.crosshairPos = this.nv.mm2frac(mm, 0, true);
    this.nv.createOnLocationChange();
    this.nv.drawScene();
  }
  get window() { return this.image ? [this.image.cal_min, this.image.cal_max] : [0, 1]; }
  set window([low, high]) {
    if (!this.image || !(low < high)) return;
    [this.image.cal_min, this.image.cal_max] = [low, high];
    this.nv.updateGLVolume();
  }

  // Move the crosshair by whole voxels along the normal of a plane.
  step(plane, voxels) {
    this.canvas.focus({ preventScroll: true }); // niivue tells the other volume of what has the focus
    this.nv.moveCrosshairInVox(...NORMAL[plane].map((part) => part * voxels));
  }

  // niivue measures the crosshair in mm: as many as LINE pixels are. Whether that changed.
  #thin() {
    const tile = this.nv.screenSlices.find((one) => one.axCorSag < SLICE_TYPE.MULTIPLANAR && one.fovMM.length);
    if (!tile) return false;
    const width = (LINE * this.nv.uiData.dpr * Math.abs(tile.fovMM[0])) / tile.leftTopWidthHeight[2];
    if (!(width > 0) || Math.abs(this.nv.opts.crosshairWidth / width - 1) < 0.1) return false;
    this.nv.opts.crosshairWidth = width;
    if (this.nv.crosshairs3D) this.nv.crosshairs3D.mm[0] = NaN; // else the old one is drawn again
    return true;
  }

  #read(place) {
    const value = place.values[0]?.value;
    const label = place.values[1]?.value;
    const name = this.entry?.labels.find((one) => one.value === Math.round(label))?.name;
    const at = Array.from(place.mm).slice(0, 3).map((mm) => mm.toFixed(1)).join(", ");
    const units = this.file?.units && this.file.units !== "arbitrary" ? ` ${this.file.units}` : "";
    const text = value === undefined ? "" : ` · ${Number(value.toPrecision(6))}${units}${name ? ` · ${name}` : ""}`;
    this.section.querySelector(".readout").textContent = `${at} mm${text}`;
  }
}
