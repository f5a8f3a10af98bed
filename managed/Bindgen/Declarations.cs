namespace MnistNative.Bindgen;

/// <summary>A comment of the header: the text, and what it says of parameters and the result.</summary>
/// <param name="Summary">Paragraphs of the description.</param>
/// <param name="Parameters">What <c>@param</c> says, by the parameter's C name.</param>
/// <param name="Returns">What <c>@return</c> says, or null.</param>
/// <param name="Remarks">Paragraphs that open with <c>Errors:</c>.</param>
public sealed record Comment(
    IReadOnlyList<string> Summary,
    IReadOnlyDictionary<string, string> Parameters,
    string? Returns,
    IReadOnlyList<string> Remarks)
{
    /// <summary>No comment.</summary>
    public static Comment Empty { get; } = new([], new Dictionary<string, string>(), null, []);
}

/// <summary>An integer <c>#define</c>.</summary>
public sealed record ConstantDeclaration(string Name, long Value, Comment Comment);

/// <summary>A value of an enum.</summary>
public sealed record EnumMember(string Name, long Value, Comment Comment);

/// <summary>An enum with a name.</summary>
public sealed record EnumDeclaration(string Name, IReadOnlyList<EnumMember> Members, Comment Comment);

/// <summary>A field or a parameter; the type is spelled as in C.</summary>
public sealed record Variable(string Name, string Type, Comment Comment);

/// <summary>A struct.</summary>
public sealed record StructDeclaration(string Name, IReadOnlyList<Variable> Fields, Comment Comment);

/// <summary>A typedef of a number (a handle, a status) or of a function pointer.</summary>
public sealed record TypedefDeclaration(string Name, string Type, Comment Comment);

/// <summary>A function.</summary>
public sealed record FunctionDeclaration(string Name, string ReturnType, IReadOnlyList<Variable> Parameters, Comment Comment);

/// <summary>What a header declares, in its order.</summary>
public sealed record Header(
    IReadOnlyList<ConstantDeclaration> Constants,
    IReadOnlyList<EnumDeclaration> Enums,
    IReadOnlyList<StructDeclaration> Structs,
    IReadOnlyList<TypedefDeclaration> Typedefs,
    IReadOnlyList<FunctionDeclaration> Functions);
