/** How heads can be trained. */

export type Method = "linear" | "ridge" | "knn" | "mlp" | "lab" | "centroid";

export const METHODS: { value: Method; label: string }[] = [
  { value: "linear", label: "linear: softmax regression" },
  { value: "ridge", label: "ridge: least squares" },
  { value: "knn", label: "knn: nearest rows" },
  { value: "mlp", label: "mlp: hidden layers" },
  { value: "lab", label: "lab: the labs' recipe" },
  { value: "centroid", label: "centroid: nearest mean" },
];
