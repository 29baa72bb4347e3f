// Draws the charts, and applies the filter to the map, the histograms and the table. The page makes no request.
"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
  const charts = read("charts");
  const data = read("data");
  const rows = data.rows;
  const names = new Map(data.segments.map((segment) => [segment.label, `${segment.label}: ${segment.name}`]));
  const shown = new Set(names.keys());
  const filtered = new Map(); // the views to which the filter applies -> their signals as they should be now

  const NARROW = 640; // pixels; as in report.css
  const theme = window.innerWidth > NARROW ? data.theme : { ...data.theme, axis: { ...data.theme.axis, labelLimit: 120 } };

  // With `ast`, Vega interprets expressions. Compiling them is forbidden by the page's Content-Security-Policy.
  async function draw(element, name, datasets = {}, ownSignals = () => ({})) {
    const spec = structuredClone(charts[name]);
    const signals = () => ({ shown: [...shown], ...ownSignals() });
    for (const parameter of spec.params ?? []) parameter.value = signals()[parameter.name] ?? parameter.value;
    const { view } = await vegaEmbed(element, { ...spec, datasets: { ...spec.datasets, ...datasets } }, {
      actions: false, renderer: "svg", ast: true, config: theme, tooltip: { theme: "custom" },
    });
    if (spec.params) filtered.set(view, signals);
    return view;
  }

  function shapes() {
    const topology = read("topology");
    const feature = (object) => vega.read(topology, { type: "topojson", feature: object });
    const mesh = (object) => vega.read(topology, { type: "topojson", mesh: object });
    const counties = feature("counties");
    for (const county of counties) {
      const { name: place, row } = county.properties;
      if (row === undefined) {
        const name = `${place} (not in the data)`;
        Object.assign(county, { name, label: null, segment: "none", stability: "none", runnerUp: "none", distance: "none" });
      }
      else {
        const label = rows.label[row];
        Object.assign(county, {
          name: `${rows.county[row]}, ${rows.states[rows.state[row]]}`,
          label,
          segment: names.get(label),
          stability: `${Math.round(100 * rows.stability[row])} %: ${data.certainties[rows.certainty[row]].toLowerCase()}`,
          runnerUp: names.get(rows.runnerUp[row]),
          distance: rows.distance[row].toFixed(2),
          fills: { segment: data.colours[label], certainty: `url(#certainty-${rows.certainty[row]})` },
        });
      }
    }
    return {
      map: { counties, borders: mesh("states"), background: feature("others") },
      movers: { movers: movers(counties), borders: mesh("states"), background: feature("states") },
    };
  }

  // The shapes of the map of movers: copies of those of the counties in data.movers.
  function movers(counties) {
    if (!data.movers) return [];
    const { row, kind, before, now, certainty, names: kinds, segmentsBefore, segmentsNow } = data.movers;
    const places = new Map(row.map((one, place) => [one, place]));
    const segment = (number, named) => (number === null ? "none" : `${number}: ${named[number]}`);
    return counties.filter((county) => places.has(county.properties.row)).map((county) => {
      const place = places.get(county.properties.row);
      return {
        type: county.type, geometry: county.geometry, name: county.name,
        kind: kinds[kind[place]], fill: `url(#mover-${kind[place]})`,
        before: segment(before[place], segmentsBefore), now: segment(now[place], segmentsNow),
        certainty: certainty[place] === null ? "none" : certainty[place].toFixed(2),
      };
    });
  }

  // --- histograms ---------------------------------------------------------------------------------------------
  const units = { percent: "%", dollars: "$", minutes: "minutes" };
  const groups = document.getElementById("histogram-group");
  const histograms = document.getElementById("histograms");

  // The height of the tallest stack that is shown. Vega cannot find one where nothing is, and warns.
  function tallest(bins) {
    const stacks = new Map();
    for (const { label, from, rows: count } of bins) {
      if (shown.has(label)) stacks.set(from, (stacks.get(from) ?? 0) + count);
    }
    return Math.max(1, ...stacks.values());
  }

  async function drawHistograms() {
    for (const view of [...filtered.keys()]) if (histograms.contains(view.container())) { view.finalize(); filtered.delete(view); }
    histograms.replaceChildren();
    const group = data.histogramGroups[groups.selectedIndex];
    for (const histogram of group.features.map((name) => data.histograms.find((one) => one.feature === name))) {
      const figure = document.createElement("figure");
      const title = document.createElement("h4");
      title.textContent = units[histogram.unit] ? `${histogram.label} (${units[histogram.unit]})` : histogram.label;
      const chart = document.createElement("div");
      chart.className = "chart";
      figure.append(title, chart);
      histograms.append(figure);
      const bins = [];
      histogram.segments.forEach(({ label, rows: counts }) => counts.forEach((count, bin) => {
        const from = histogram.minimum + bin * histogram.width;
        if (count) bins.push({ label, segment: names.get(label), from, to: from + histogram.width, rows: count });
      }));
      const least = histogram.minimum;
      const most = least + histogram.width * histogram.bins;
      await draw(chart, "histogram", { bins }, () => ({ least, most, tallest: tallest(bins) }));
    }
  }

  // --- table --------------------------------------------------------------------------------------------------
  const PAGE = 25;
  const LONGEST_NAME = 200; // characters shown in a cell, whose tooltip has the whole text
  const table = document.getElementById("rows");
  let order = [], found = [], page = 0, sorted = { column: null, down: false };

  const columns = rows && [
    { title: "Id", text: true, value: (row) => rows.id[row] },
    { title: "State", text: true, value: (row) => rows.states[rows.state[row]] },
    { title: "County", text: true, value: (row) => rows.county[row] },
    { title: "Segment", text: true, value: (row) => rows.label[row], cell: (cell, row) => nameCell(cell, rows.label[row]) },
    { title: "Distance", value: (row) => rows.distance[row] },
    { title: "Runner-up", text: true, value: (row) => rows.runnerUp[row], cell: (cell, row) => nameCell(cell, rows.runnerUp[row]) },
    { title: "Margin", value: (row) => rows.margin[row] },
    { title: "Stability", value: (row) => rows.stability[row] },
    ...rows.components.map((values, i) => ({ title: `c_${i + 1}`, value: (row) => values[row] })),
  ];

  function nameCell(cell, label) {
    const key = document.createElement("span");
    key.className = "key";
    key.style.setProperty("--colour", data.colours[label]);
    cell.className = "text name";
    cell.append(key, names.get(label));
  }

  function headings() {
    const heading = table.tHead.insertRow();
    for (const column of columns) {
      const cell = document.createElement("th");
      const button = document.createElement("button");
      cell.scope = "col";
      if (column.text) cell.className = "text";
      button.type = "button";
      button.textContent = column.title;
      button.addEventListener("click", () => { sortBy(column); });
      cell.append(button);
      heading.append(cell);
      column.cellElement = cell;
    }
  }

  function sortBy(column) {
    sorted = { column, down: sorted.column === column && !sorted.down };
    const numeric = (a, b) => a - b;
    const words = new Intl.Collator("en", { numeric: true }).compare;
    const compare = typeof column.value(0) === "number" ? numeric : words;
    const sign = sorted.down ? -1 : 1;
    order.sort((a, b) => sign * compare(column.value(a), column.value(b)) || a - b);
    for (const other of columns) other.cellElement.removeAttribute("aria-sort");
    column.cellElement.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    find();
  }

  const shortened = (text) => (text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME - 1)}\u2026` : text);
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  function find() {
    const wanted = plain(document.getElementById("search").value).split(/[\s,-]+/).filter(Boolean);
    found = order.filter((row) => shown.has(rows.label[row]) && wanted.every((word) => rows.search[row].includes(word)));
    page = 0;
    list();
  }

  function list() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    const body = document.createElement("tbody");
    for (const row of found.slice(page * PAGE, (page + 1) * PAGE)) {
      const line = body.insertRow();
      for (const column of columns) {
        const cell = line.insertCell();
        if (column.cell) column.cell(cell, row);
        else {
          const value = column.value(row);
          if (column.text) cell.className = "text";
          cell.textContent = typeof value === "number" ? value.toFixed(3).replace("-", "\u2212") : shortened(value);
          if (cell.textContent !== value && column.text) cell.title = value;
        }
      }
    }
    table.tBodies[0].replaceWith(body);
    document.getElementById("found").textContent = `${found.length.toLocaleString("en")} of ${rows.id.length.toLocaleString("en")}`;
    document.getElementById("page").textContent = `Page ${page + 1} of ${pages.toLocaleString("en")}`;
    document.getElementById("previous").disabled = page === 0;
    document.getElementById("next").disabled = page + 1 >= pages;
  }

  function startTable() {
    rows.search = rows.id.map((id, row) => plain(`${id} ${rows.states[rows.state[row]]} ${rows.county[row]}`));
    order = rows.id.map((_, row) => row);
    headings();
    document.getElementById("search").addEventListener("input", find);
    document.getElementById("search-form").addEventListener("submit", (event) => { event.preventDefault(); });
    document.getElementById("previous").addEventListener("click", () => { page -= 1; list(); });
    document.getElementById("next").addEventListener("click", () => { page += 1; list(); });
    find();
  }

  // --- filter -------------------------------------------------------------------------------------------------
  const boxes = [...document.querySelectorAll("#legend input")];

  function show(labels) {
    shown.clear();
    labels.forEach((label) => { shown.add(label); });
    for (const box of boxes) box.checked = shown.has(Number(box.value));
    for (const card of document.querySelectorAll(".card")) {
      card.classList.toggle("hidden-segment", !shown.has(Number(card.dataset.label)));
    }
    for (const [view, signals] of filtered) {
      for (const [name, value] of Object.entries(signals())) view.signal(name, value);
      view.runAsync();
    }
    if (rows) find();
  }

  function startFilter() {
    const checked = () => boxes.filter((box) => box.checked).map((box) => Number(box.value));
    for (const box of boxes) box.addEventListener("change", () => { show(checked()); });
    document.getElementById("show-all").addEventListener("click", () => { show([...names.keys()]); });
    document.getElementById("show-none").addEventListener("click", () => { show([]); });
    for (const button of document.querySelectorAll(".only")) {
      button.addEventListener("click", () => {
        show([Number(button.value)]);
        document.getElementById("segments").scrollIntoView();
      });
    }
  }

  // --- coloring of the map -------------------------------------------------------------------------------------
  function startColoring(map) {
    const choices = [...document.querySelectorAll("#coloring input")];
    const color = () => {
      const { value } = choices.find((choice) => choice.checked);
      for (const part of document.querySelectorAll("[data-coloring]")) part.hidden = part.dataset.coloring !== value;
      map.signal("coloring", value).runAsync();
    };
    for (const choice of choices) choice.addEventListener("change", color);
    color(); // the browser may have restored another choice
  }

  async function start() {
    startFilter();
    if (rows) startTable();
    for (const group of data.histogramGroups) groups.add(new Option(group.title));
    groups.addEventListener("change", drawHistograms);
    const datasets = {
      components: { cells: data.componentCells }, features: { cells: data.featureCells }, ...(charts.map && shapes()),
    };
    for (const element of document.querySelectorAll("[data-chart]")) {
      const name = element.dataset.chart;
      if (name === "map") startColoring(await draw(element, name, datasets.map));
      else if (name === "makeup") await draw(element, name, { weights: data.makeup[element.dataset.component] });
      else if (charts[name]) await draw(element, name, datasets[name]);
    }
    await drawHistograms();
    document.documentElement.dataset.ready = "yes";
  }

  start();
})();
