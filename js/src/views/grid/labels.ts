/** The labels along a grid: as many as there is room for, and always those of the marked row and column. */

import { h, setAttribute, setText } from "../../page/dom";
import { apart, evenly, labelled, type Shape } from "./geometry";
import type { Axis } from "./picture";

/** The room of a label along its axis, in CSS pixels: for lines above each other, and for numbers beside each other. */
const LINE_GAP = 13;
const NUMBER_GAP = 30;
/** Widths of a digit and of the space beside a number, at the size of labels. */
const DIGIT = 7.2;
const BESIDE = 8;

/** Labels along one axis; labels of marks hide neighbours that they would touch. */
class Labels {
  readonly element: HTMLElement;
  /** The least room; long flat labels take more. */
  readonly #gap: number;
  readonly #flat: boolean;
  readonly #placed: (label: HTMLElement, index: number) => void;
  readonly #marked: readonly HTMLElement[];
  #axis: Axis = { count: 0, label: () => "", name: () => "" };
  #size = 0;
  #shown = "";
  #labels = new Map<number, HTMLElement>();
  #aside: HTMLElement[] = [];

  constructor(
    element: HTMLElement,
    gap: number,
    flat: boolean,
    nMarks: number,
    placed: (label: HTMLElement, index: number) => void,
  ) {
    this.element = element;
    this.#gap = gap;
    this.#flat = flat;
    this.#placed = placed;
    this.#marked = Array.from({ length: nMarks }, () => h("span", { class: "here", hidden: true }));
  }

  show(axis: Axis, size: number): void {
    this.#axis = axis;
    this.#size = size;
    const strengths = axis.strengths ?? evenly(axis.count, size, this.#gap);
    const chosen = labelled(strengths, size, (index) => this.#room(index), 0);
    const shown = `${axis.count} ${size} ${chosen.map((index) => `${index} ${axis.label(index)}`).join("\n")}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#labels = new Map(
      chosen.map((index) => {
        const label = h("span", {}, axis.label(index));
        this.#placed(label, index);
        return [index, label];
      }),
    );
    this.element.replaceChildren(...this.#labels.values(), ...this.#marked);
  }

  /** Indices that always have a label, the most important first. */
  mark(indices: readonly (number | null)[]): void {
    for (const label of this.#aside) label.style.visibility = "";
    this.#aside = [];
    const kept: number[] = [];
    for (const [i, label] of this.#marked.entries()) {
      const index = indices[i] ?? null;
      const free =
        index !== null && index < this.#axis.count && kept.every((other) => this.#apart(other, index));
      label.hidden = !free;
      if (!free) continue;
      kept.push(index);
      setText(label, this.#axis.label(index));
      this.#placed(label, index);
    }
    for (const [index, label] of this.#labels) {
      if (kept.every((other) => this.#apart(other, index))) continue;
      label.style.visibility = "hidden";
      this.#aside.push(label);
    }
  }

  #apart(a: number, b: number): boolean {
    return apart(a, b, this.#size, (index) => this.#room(index));
  }

  #room(index: number): number {
    if (!this.#flat) return this.#gap;
    return Math.max(this.#gap, DIGIT * this.#axis.label(index).length + BESIDE);
  }
}

export class RowLabels {
  readonly element = h("div", { class: "row-labels", "aria-hidden": "true" });
  #shape: Shape | null = null;
  readonly #labels = new Labels(this.element, LINE_GAP, false, 1, (label, row) => {
    const { nRows, height } = this.#shape ?? { nRows: 0, height: 0 };
    label.style.top = `${(nRows - 0.5 - row) * height}px`;
  });

  show(axis: Axis, shape: Shape): void {
    this.#shape = shape;
    this.element.style.height = `${shape.nRows * shape.height}px`;
    this.#labels.show(axis, shape.height);
  }

  mark(row: number | null): void {
    this.#labels.mark([row]);
  }
}

export class ColumnLabels {
  readonly element: HTMLElement;
  readonly #labels: Labels;
  #width = 0;

  /** `upright`: labels are words that run from top to bottom; else they are numbers. */
  constructor(upright: boolean) {
    this.element = h("div", { class: "column-labels", "aria-hidden": "true" });
    setAttribute(this.element, "data-upright", upright);
    this.#labels = new Labels(this.element, upright ? LINE_GAP : NUMBER_GAP, !upright, 2, (label, column) => {
      label.style.left = `${(column + 0.5) * this.#width}px`;
    });
  }

  show(axis: Axis, shape: Shape): void {
    this.#width = shape.width;
    this.element.style.width = `${shape.nColumns * shape.width}px`;
    this.#labels.show(axis, shape.width);
  }

  mark(cursor: number | null, cell: number | null): void {
    this.#labels.mark([cursor, cell]);
  }
}
