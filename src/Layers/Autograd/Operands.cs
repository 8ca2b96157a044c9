using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>Checks what an operation is given before it rents anything. The sentences name operation, argument and remedy.</summary>
internal static class Operands
{
    /// <summary>An activation (N,H,W,C) with the number of channels that <paramref name="wanter"/> wants.</summary>
    public static void Image(string operation, Tensor x, string wanter, int channels)
    {
        Image(operation, x);
        if (x.Shape.Channels != channels)
            throw new TensorException($"{operation}: {wanter} expects {channels} input channels but x is {x}");
    }

    public static void Image(string operation, Tensor x)
    {
        Value(operation, "x", x);
        if (x.Shape.Rank != 4)
            throw new TensorException($"{operation}: x expects f32 (batch,height,width,channels) but is {x}");
    }

    /// <summary>Any float tensor that is no loss: the gradient of a loss is fixed when it is made.</summary>
    public static void Value(string operation, string argument, Tensor x)
    {
        if (x.View.Type != DType.F32)
            throw new TensorException($"{operation}: {argument} expects f32 but is {x}");
        if (x.IsLoss)
            throw new TensorException($"{operation}: {argument} is the loss {x}; nothing may follow a loss. "
                + "Pass its weight to the loss itself and all losses to scope.Backward");
    }

    /// <summary>Both tensors belong to one step scope, hence to one device.</summary>
    public static void Together(string operation, string firstName, Tensor first, string secondName, Tensor second)
    {
        if (second.Scope == first.Scope)
            return;
        throw new TensorException(second.Scope.Device == first.Scope.Device
            ? $"{operation}: {secondName} {second} belongs to another step scope than {firstName} {first}; make both inside one scope"
            : $"{operation}: {secondName} {second} lives on {second.Scope.Device.Name} and {firstName} {first} on another device, "
                + $"{first.Scope.Device.Name}; download it and upload it into the scope of {firstName}");
    }

    public static void SameShape(string operation, string firstName, Tensor first, string secondName, Tensor second)
    {
        Together(operation, firstName, first, secondName, second);
        if (second.Shape != first.Shape)
            throw new TensorException($"{operation}: {secondName} expects f32{first.Shape}, the shape of {firstName}, but is {second}");
    }

    /// <summary>The layer's parameters live on the device the tensor lives on.</summary>
    public static void OnDevice(string operation, Tensor x, Parameter parameter)
    {
        var device = parameter.Value.Buffer.Device;
        if (device != x.Scope.Device)
            throw new TensorException($"{operation}: {parameter.Name} lives on {device.Name} and x {x} on another device, "
                + $"{x.Scope.Device.Name}; open the step scope on the device of the ParameterSet");
    }

    /// <summary>Output of a sliding window over an activation.</summary>
    public static Shape Windowed(string operation, Tensor x, Window window, int channels)
    {
        int height = window.OutHeight(x.Shape[1]), width = window.OutWidth(x.Shape[2]);
        if (height < 1 || width < 1)
            throw new TensorException($"{operation}: the window ({window}) does not fit into x {x}; use larger images or more padding");
        return new Shape(x.Shape[0], height, width, channels);
    }
}
