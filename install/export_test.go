package install

// Begun is what Start and Restart return of an agent that has not ended.
var Begun = begun
