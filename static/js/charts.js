// Charts: uPlot fed from the API, following new points while the tab is seen. Works beside app.js, needs nothing of it.
"use strict";

(() => {
  if (window.hubCharts) return;
  window.hubCharts = new Map();
  const POLL = 10000;
  const COLOURS = ["--k-s1", "--k-s2", "--k-s3", "--k-s4", "--k-s5", "--k-s6", "--k-s7", "--k-s8"];
  const BAD = new Set(["crashed", "unhealthy"]);

  /* Colours and words ------------------------------------------------------ */

  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);

  // The tokens are light-dark() pairs; a canvas needs the one that counts now.
  function colour(token) {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  }

  function faded(token, alpha) {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = colour(token);
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return `rgba(${r}, ${g}, ${b}, ${alpha})`;
  }

  // Some are measured every ten seconds, some every minute: a gap is a silence longer than usual for its series.
  function patience(plot, index) {
    const times = plot.data[0].filter((_, at) => plot.data[index][at] !== null);
    const waits = times.slice(1).map((at, before) => at - times[before]).sort((a, b) => a - b);
    return waits.length < 3 ? 0 : 2.5 * waits[waits.length >> 1];
  }

  function silences(plot, index, first, last, gaps) {
    const most = patience(plot, index);
    return gaps.filter(([from, to]) => plot.posToVal(to, "x", true) - plot.posToVal(from, "x", true) > most);
  }

  // A value between two silences makes no line, so it is drawn as a dot.
  function lonely(plot, index) {
    const [times, values, most] = [plot.data[0], plot.data[index], patience(plot, index)];
    const known = [...values.keys()].filter((at) => values[at] !== null);
    const isFar = (one, other) => one === undefined || other === undefined || (times[other] - times[one] > most && other - one > 1);
    return known.filter((at, n) => isFar(known[n - 1], at) && isFar(at, known[n + 1]));
  }

  // The legend tells values only where the cursor reads them.
  const isRead = (plot) => plot.root.classList.toggle("k-read", plot.cursor.idx !== null);

  const SIZES = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];

  function told(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit === "percent") return `${value.toFixed(1)} %`;
    if (unit.startsWith("bytes")) {
      const end = unit === "bytes" ? "" : "/s";
      for (const [size, name] of SIZES) if (value >= size) return `${(value / size).toFixed(1)} ${name}${end}`;
      return `${value.toFixed(0)} B${end}`;
    }
    return value.toLocaleString("en", { maximumFractionDigits: 1 });
  }

  const short = (value, unit) => told(value, unit).replace("/s", "").replace(/\.0(?= )/, "");
  const powers = Array.from({ length: 50 }, (_, n) => 2 ** n);

  /* One frame --------------------------------------------------------------- */

  class Frame {
    constructor(figure, group) {
      this.figure = figure;
      this.group = group;
      this.metrics = figure.dataset.chart.split(",");
      this.unit = figure.dataset.unit;
      this.box = figure.querySelector("[data-plot]");
      this.plot = null;
    }

    series() {
      return this.group.answer.series.filter((one) => this.metrics.includes(one.metric));
    }

    // Of each series the mean is a line, and least to greatest a band around it where buckets are wide enough.
    data() {
      const columns = [this.group.answer.times];
      for (const one of this.series()) columns.push(one.mean, one.max, one.min);
      return columns;
    }

    limit() {
      const limits = this.series().map((one) => one.limit).filter((limit) => limit);
      return this.group.isComparison || limits.length === 0 ? null : Math.max(...limits);
    }

    label(one) {
      return this.group.isComparison ? one.name : one.label;
    }

    draw() {
      const shape = this.series().map((one) => `${one.subject} ${one.metric}`).join();
      if (this.plot && this.shape === shape) {
        this.plot.setData(this.data(), false);
        this.plot.setScale("x", this.group.window());
      } else {
        this.shape = shape;
        this.plot?.destroy();
        this.plot = new uPlot(this.options(), this.data(), this.box);
      }
      this.tellNow();
    }

    redraw() {
      this.shape = null;
      if (this.group.answer) this.draw();
    }

    tellNow() {
      const parts = this.series().map((one) => {
        const last = one.mean.findLast((value) => value !== null);
        return last === undefined ? "" : told(last, this.unit) + (this.series().length > 1 ? ` ${this.group.isComparison ? one.name : one.label.toLowerCase().replace(/^(network|disk) /, "")}` : "");
      });
      const limit = this.limit();
      const of = limit && parts[0] && this.series().length === 1 && this.unit !== "percent" ? ` of ${told(limit, this.unit)}` : "";
      this.figure.querySelector("[data-now]").textContent = parts.some(Boolean) ? parts.filter(Boolean).join(", ") + of : "not measured";
    }

    options() {
      const ink = colour("--k-ink-3");
      const axis = { stroke: ink, font: "11px system-ui", grid: { stroke: colour("--k-grid"), width: 1 }, ticks: { show: false } };
      const series = [{ value: (_, at) => (at === null ? "" : this.group.timeText(at)) }];
      const bands = [];
      this.series().forEach((one, index) => {
        const token = COLOURS[index % COLOURS.length];
        const value = (_, number) => told(number, this.unit);
        const at = series.length;
        series.push({ label: this.label(one), stroke: colour(token), fill: faded(token, 0.1), width: 1.5, value, points: { show: false, filter: lonely, size: 4, fill: colour(token) }, gaps: silences });
        series.push({ label: "greatest", stroke: "transparent", width: 0, value, class: "k-legend-off", points: { show: false }, gaps: silences });
        series.push({ label: "least", stroke: "transparent", width: 0, value, class: "k-legend-off", points: { show: false }, gaps: silences });
        bands.push({ series: [at + 1, at + 2], fill: faded(token, 0.16) });
      });
      return {
        width: Math.max(200, this.box.clientWidth),
        height: 150,
        padding: [14, 16, 0, 0],
        cursor: { sync: { key: "hub" }, y: false, points: { size: 7 }, drag: { x: true, y: false, setScale: false } },
        legend: { live: true },
        scales: { x: { time: true, min: this.group.window().min, max: this.group.window().max, auto: false }, y: { range: (_, low, high) => this.range(high) } },
        axes: [
          { ...axis, size: 26, grid: { show: false }, values: (_, ticks) => this.group.tickTexts(ticks) },
          { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => short(tick, this.unit)), ...(this.unit.startsWith("bytes") ? { incrs: powers } : {}) },
        ],
        series,
        bands,
        tzDate: (at) => new Date(at * 1000),
        hooks: { draw: [(plot) => this.mark(plot)], setCursor: [isRead], setSelect: [(plot) => this.group.zoom(plot)] },
      };
    }

    // From zero to a little above what was measured; the limit is in view when it is anywhere near.
    range(high) {
      const limit = this.limit();
      let top = high && high > 0 ? high * 1.1 : 1;
      if (this.unit === "percent" && top < 10) top = 10;
      if (this.unit === "count" && top < 4) top = 4;
      if (limit && high > limit * 0.25) top = Math.max(top, limit * 1.08);
      return [0, top];
    }

    mark(plot) {
      const { ctx, bbox } = plot;
      const scale = devicePixelRatio || 1;
      ctx.save();
      ctx.font = `${11 * scale}px system-ui`;
      ctx.fillStyle = ctx.strokeStyle = colour("--k-ink-3");
      ctx.lineWidth = scale;
      const limit = this.limit();
      if (limit && limit <= plot.scales.y.max) {
        const y = Math.round(plot.valToPos(limit, "y", true)) + 0.5;
        ctx.setLineDash([4 * scale, 3 * scale]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.textAlign = "right";
        ctx.fillText(`limit ${short(limit, this.unit)}`, bbox.left + bbox.width, y - 4 * scale);
      }
      if (this.group.follows) this.markNow(plot, scale);
      ctx.textAlign = "left";
      ctx.setLineDash([scale, 2 * scale]);
      let free = -Infinity;
      for (const event of this.group.answer.events) {
        const at = Date.parse(event.at) / 1000;
        const x = Math.round(plot.valToPos(at, "x", true)) + 0.5;
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.fillStyle = ctx.strokeStyle = colour(BAD.has(event.kind) ? "--k-bad" : "--k-ink-3");
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.beginPath();
        ctx.arc(x, bbox.top, 3 * scale, 0, 2 * Math.PI);
        ctx.fill();
        const width = ctx.measureText(event.kind).width;
        if (x > free && x + width + 6 * scale < bbox.left + bbox.width) {
          ctx.fillText(event.kind, x + 6 * scale, bbox.top + 1 * scale);
          free = x + width + 12 * scale;
        }
      }
      ctx.restore();
    }

    // What each series is now, where it is measured still.
    markNow(plot, scale) {
      const { ctx, bbox } = plot;
      const [times, last] = [plot.data[0], plot.data[0].length - 1];
      this.series().forEach((one, index) => {
        const at = one.mean.findLastIndex((value) => value !== null);
        if (at < 0 || times[last] - times[at] > Math.max(60, patience(plot, 1 + 3 * index))) return;
        ctx.fillStyle = colour("--k-ok");
        ctx.beginPath();
        ctx.arc(Math.min(plot.valToPos(times[at], "x", true), bbox.left + bbox.width), plot.valToPos(one.mean[at], "y", true), 3 * scale, 0, 2 * Math.PI);
        ctx.fill();
      });
    }

    // The picture has a title, the range and a legend, so that it can stand alone.
    save() {
      const source = this.plot.ctx.canvas;
      const scale = devicePixelRatio || 1;
      const head = 44 * scale;
      const canvas = document.createElement("canvas");
      canvas.width = source.width;
      canvas.height = source.height + head;
      const ctx = canvas.getContext("2d");
      ctx.fillStyle = colour("--k-surface");
      ctx.fillRect(0, 0, canvas.width, canvas.height);
      ctx.fillStyle = colour("--k-ink");
      ctx.font = `600 ${13 * scale}px system-ui`;
      ctx.fillText(this.figure.dataset.title, 8 * scale, 18 * scale);
      ctx.font = `${11 * scale}px system-ui`;
      let x = 8 * scale;
      this.series().forEach((one, index) => {
        ctx.fillStyle = colour(COLOURS[index % COLOURS.length]);
        ctx.fillText(this.label(one), x, 36 * scale);
        x += ctx.measureText(this.label(one)).width + 16 * scale;
      });
      ctx.fillStyle = colour("--k-ink-3");
      ctx.textAlign = "right";
      const { min, max } = this.group.window();
      ctx.fillText(`${new Date(min * 1000).toLocaleString()} – ${new Date(max * 1000).toLocaleString()}`, canvas.width - 8 * scale, 18 * scale);
      ctx.drawImage(source, 0, head);
      canvas.toBlob((blob) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = `${this.figure.dataset.title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.png`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      });
    }
  }

  /* One card: a range shared by its frames ----------------------------------- */

  class Group {
    constructor(card) {
      this.card = card;
      this.follows = card.hasAttribute("data-follow");
      this.seconds = Number(card.dataset.seconds);
      this.isComparison = new URL(card.dataset.url, location.href).searchParams.getAll("subject").length > 1;
      this.frames = [...card.querySelectorAll("[data-chart]")].map((figure) => new Frame(figure, this));
      this.answer = null;
      this.failures = 0;
      this.seen = Date.now();
      this.asked = 0;
      this.isAsking = false;
      card.addEventListener("click", (event) => {
        const button = event.target.closest("[data-png]");
        const frame = button && this.frames.find((one) => one.figure.contains(button));
        if (frame?.plot) frame.save();
      });
      new ResizeObserver(() => this.resize()).observe(card);
      this.load();
    }

    window() {
      if (!this.follows) return { min: Date.parse(this.card.dataset.from) / 1000, max: Date.parse(this.card.dataset.to) / 1000 };
      const now = Date.now() / 1000;
      return { min: now - this.seconds, max: now };
    }

    url(changes) {
      const url = new URL(this.card.dataset.url, location.href);
      for (const [name, value] of Object.entries(changes)) url.searchParams.set(name, value);
      return url;
    }

    async ask(changes) {
      if (this.isAsking) return null;
      this.isAsking = true;
      this.asked = Date.now();
      try {
        const answer = await fetch(this.url(changes), { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(String(answer.status));
        this.failures = 0;
        this.seen = Date.now();
        return await answer.json();
      } catch {
        this.failures += 1;
        return null;
      } finally {
        this.isAsking = false;
        this.tell();
      }
    }

    async load() {
      const { min, max } = this.window();
      const points = Math.max(60, Math.min(500, Math.round(this.card.clientWidth / 3)));
      const answer = await this.ask({ from: new Date(min * 1000).toISOString(), to: new Date(max * 1000).toISOString(), points });
      if (!answer) return;
      this.answer = answer;
      this.draw();
    }

    // The cursor is the last bucket, which may have grown: ask from there in the same width, and put it in its place.
    async follow() {
      const { times, step } = this.answer;
      const from = times.at(-2) ?? times.at(-1);
      if (Date.now() / 1000 - times.at(-1) > 1000 * step) return this.load();
      const fresh = await this.ask({ from: new Date(from * 1000).toISOString(), step });
      if (!fresh || !fresh.times.length) return;
      this.merge(fresh);
      this.draw();
    }

    merge(fresh) {
      const old = this.answer;
      const kept = old.times.findIndex((at) => at >= fresh.times[0]);
      const end = kept < 0 ? old.times.length : kept;
      const first = Math.max(0, old.times.findIndex((at) => at > this.window().min - old.step));
      old.times = [...old.times.slice(first, end), ...fresh.times];
      for (const one of old.series) {
        const more = fresh.series.find((other) => other.subject === one.subject && other.metric === one.metric);
        for (const part of ["min", "mean", "max"]) one[part] = [...one[part].slice(first, end), ...more[part]];
        one.limit = more.limit;
      }
      const known = new Set(old.events.map((event) => event.at + event.kind));
      old.events.push(...fresh.events.filter((event) => !known.has(event.at + event.kind)));
    }

    draw() {
      for (const frame of this.frames) frame.draw();
      this.card.dataset.drawn = String(this.answer.times.at(-1) ?? "");
    }

    resize() {
      for (const frame of this.frames) {
        const width = Math.max(200, frame.box.clientWidth);
        if (frame.plot && Math.abs(frame.plot.width - width) > 1) frame.plot.setSize({ width, height: 150 });
      }
    }

    tick() {
      if (document.hidden || !this.follows) return;
      this.tell();
      const pause = Math.min(60000, POLL * 2 ** this.failures);
      if (Date.now() - this.asked < pause) return;
      if (this.answer) this.follow();
      else this.load();
    }

    tell() {
      const note = this.card.querySelector("[data-charts-note]");
      if (!note) return;
      const isLost = this.failures > 0;
      note.classList.toggle("k-stale", isLost);
      note.textContent = isLost ? `Last seen ${Math.round((Date.now() - this.seen) / 1000)} s ago, trying again` : "Live";
    }

    zoom(plot) {
      if (plot.select.width < 8) return;
      const [from, to] = [plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")];
      const url = new URL(location.href);
      url.searchParams.delete("range");
      url.searchParams.set("from", new Date(from * 1000).toISOString());
      url.searchParams.set("to", new Date(Math.max(to, from + 60) * 1000).toISOString());
      location.assign(url);
    }

    timeText(at) {
      const options = this.seconds > 86400 ? { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit", second: "2-digit" };
      return new Date(at * 1000).toLocaleString([], { ...options, hour12: false });
    }

    tickTexts(ticks) {
      const options = this.seconds > 2 * 86400 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hour12: false };
      return ticks.map((at) => new Date(at * 1000).toLocaleString([], options));
    }
  }

  /* Begin -------------------------------------------------------------------- */

  function begin() {
    for (const card of document.querySelectorAll("[data-charts]")) {
      if (!window.hubCharts.has(card)) window.hubCharts.set(card, new Group(card));
    }
  }

  const groups = () => [...window.hubCharts.values()].filter((group) => group.card.isConnected);
  setInterval(() => groups().forEach((group) => group.tick()), 1000);
  document.addEventListener("visibilitychange", () => document.hidden || groups().forEach((group) => group.tick()));
  document.addEventListener("htmx:afterSwap", begin);
  const recolour = () => groups().forEach((group) => group.frames.forEach((frame) => frame.redraw()));
  new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  begin();
})();
